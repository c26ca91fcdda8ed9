import com.aliyun.odps.Column;
import com.aliyun.odps.TableSchema;
import com.aliyun.odps.data.Binary;
import com.aliyun.odps.data.Char;
import com.aliyun.odps.data.Varchar;
import com.aliyun.odps.type.ArrayTypeInfo;
import com.aliyun.odps.type.MapTypeInfo;
import com.aliyun.odps.type.StructTypeInfo;
import com.aliyun.odps.type.TypeInfo;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import org.apache.arrow.vector.BigIntVector;
import org.apache.arrow.vector.BitVector;
import org.apache.arrow.vector.DateDayVector;
import org.apache.arrow.vector.DateMilliVector;
import org.apache.arrow.vector.DecimalVector;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.Float4Vector;
import org.apache.arrow.vector.Float8Vector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.SmallIntVector;
import org.apache.arrow.vector.TimeStampNanoVector;
import org.apache.arrow.vector.TinyIntVector;
import org.apache.arrow.vector.VarBinaryVector;
import org.apache.arrow.vector.VarCharVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.ListVector;
import org.apache.arrow.vector.complex.StructVector;

/** Canonical text into Arrow vectors and back, in the vectors that the SDK's own Arrow schema asks for. */
final class ArrowValues {
  private ArrowValues() {}

  /** Makes {@code root} a batch of the one row. */
  static void fill(VectorSchemaRoot root, TableSchema schema, JsonArray row) {
    for (int i = 0; i < row.size(); i++) {
      set(root.getVector(i), 0, row.get(i), schema.getColumn(i).getTypeInfo());
    }
    root.setRowCount(1);
  }

  /** One row of {@code root}. */
  static JsonObject row(VectorSchemaRoot root, TableSchema schema, int row) {
    JsonObject object = new JsonObject();
    for (Column column : schema.getColumns()) {
      object.add(column.getName(), get(root.getVector(column.getName()), row, column.getTypeInfo()));
    }
    return object;
  }

  private static void set(FieldVector vector, int index, JsonElement value, TypeInfo type) {
    if (value.isJsonNull()) {
      vector.setNull(index);
      return;
    }
    switch (type.getOdpsType()) {
      case ARRAY -> {
        ListVector list = (ListVector) vector;
        JsonArray elements = value.getAsJsonArray();
        int start = list.startNewValue(index);
        for (int i = 0; i < elements.size(); i++) {
          set(list.getDataVector(), start + i, elements.get(i), ((ArrayTypeInfo) type).getElementTypeInfo());
        }
        list.endValue(index, elements.size());
      }
      case MAP -> {
        ListVector map = (ListVector) vector;
        StructVector entries = (StructVector) map.getDataVector();
        JsonArray pairs = value.getAsJsonArray();
        int start = map.startNewValue(index);
        for (int i = 0; i < pairs.size(); i++) {
          JsonArray pair = pairs.get(i).getAsJsonArray();
          entries.setIndexDefined(start + i);
          set((FieldVector) entries.getChildByOrdinal(0), start + i, pair.get(0), ((MapTypeInfo) type).getKeyTypeInfo());
          set((FieldVector) entries.getChildByOrdinal(1), start + i, pair.get(1), ((MapTypeInfo) type).getValueTypeInfo());
        }
        map.endValue(index, pairs.size());
      }
      case STRUCT -> {
        StructVector struct = (StructVector) vector;
        StructTypeInfo fields = (StructTypeInfo) type;
        struct.setIndexDefined(index);
        for (int i = 0; i < fields.getFieldCount(); i++) {
          JsonElement field = value.getAsJsonObject().get(fields.getFieldNames().get(i));
          set((FieldVector) struct.getChildByOrdinal(i), index, field, fields.getFieldTypeInfos().get(i));
        }
      }
      default -> setScalar(vector, index, Client.decode(value, type));
    }
  }

  private static void setScalar(FieldVector vector, int index, Object value) {
    if (vector instanceof TinyIntVector v) v.setSafe(index, (Byte) value);
    else if (vector instanceof SmallIntVector v) v.setSafe(index, (Short) value);
    else if (vector instanceof IntVector v) v.setSafe(index, (Integer) value);
    else if (vector instanceof BigIntVector v) v.setSafe(index, (Long) value);
    else if (vector instanceof BitVector v) v.setSafe(index, (Boolean) value ? 1 : 0);
    else if (vector instanceof Float4Vector v) v.setSafe(index, (Float) value);
    else if (vector instanceof Float8Vector v) v.setSafe(index, (Double) value);
    else if (vector instanceof VarCharVector v) v.setSafe(index, value.toString().getBytes(StandardCharsets.UTF_8));
    else if (vector instanceof VarBinaryVector v) v.setSafe(index, ((Binary) value).data());
    else if (vector instanceof DecimalVector v) v.setSafe(index, ((BigDecimal) value).setScale(v.getScale()));
    else if (vector instanceof DateDayVector v) v.setSafe(index, (int) ((LocalDate) value).toEpochDay());
    else if (vector instanceof DateMilliVector v) v.setSafe(index, ((ZonedDateTime) value).toInstant().toEpochMilli());
    else if (vector instanceof TimeStampNanoVector v) v.setSafe(index, nanos(value));
    else throw new IllegalArgumentException("no value for " + vector.getField());
  }

  private static long nanos(Object value) {
    Instant instant = value instanceof LocalDateTime wall ? wall.toInstant(ZoneOffset.UTC) : (Instant) value;
    return Math.addExact(Math.multiplyExact(instant.getEpochSecond(), 1_000_000_000L), instant.getNano());
  }

  private static JsonElement get(FieldVector vector, int index, TypeInfo type) {
    if (vector.isNull(index)) return JsonNull.INSTANCE;
    switch (type.getOdpsType()) {
      case ARRAY -> {
        ListVector list = (ListVector) vector;
        JsonArray array = new JsonArray();
        for (int i = list.getElementStartIndex(index); i < list.getElementEndIndex(index); i++) {
          array.add(get(list.getDataVector(), i, ((ArrayTypeInfo) type).getElementTypeInfo()));
        }
        return array;
      }
      case MAP -> {
        ListVector map = (ListVector) vector;
        StructVector entries = (StructVector) map.getDataVector();
        JsonArray pairs = new JsonArray();
        for (int i = map.getElementStartIndex(index); i < map.getElementEndIndex(index); i++) {
          JsonArray pair = new JsonArray();
          pair.add(get((FieldVector) entries.getChildByOrdinal(0), i, ((MapTypeInfo) type).getKeyTypeInfo()));
          pair.add(get((FieldVector) entries.getChildByOrdinal(1), i, ((MapTypeInfo) type).getValueTypeInfo()));
          pairs.add(pair);
        }
        return pairs;
      }
      case STRUCT -> {
        StructVector struct = (StructVector) vector;
        StructTypeInfo fields = (StructTypeInfo) type;
        JsonObject object = new JsonObject();
        for (int i = 0; i < fields.getFieldCount(); i++) {
          FieldVector child = (FieldVector) struct.getChildByOrdinal(i);
          object.add(fields.getFieldNames().get(i), get(child, index, fields.getFieldTypeInfos().get(i)));
        }
        return object;
      }
      default -> {
        return Client.encode(scalar(vector, index, type), type);
      }
    }
  }

  /** What the SDK's record reader would give for it. */
  private static Object scalar(FieldVector vector, int index, TypeInfo type) {
    return switch (type.getOdpsType()) {
      case STRING -> ((VarCharVector) vector).get(index);
      case VARCHAR -> new Varchar(vector.getObject(index).toString());
      case CHAR -> new Char(vector.getObject(index).toString());
      case BINARY -> new Binary(((VarBinaryVector) vector).get(index));
      case DATE -> LocalDate.ofEpochDay(((DateDayVector) vector).get(index));
      case DATETIME -> Instant.ofEpochMilli(((DateMilliVector) vector).get(index)).atZone(ZoneOffset.UTC);
      case TIMESTAMP -> instant(((TimeStampNanoVector) vector).get(index));
      case TIMESTAMP_NTZ -> LocalDateTime.ofInstant(instant(((TimeStampNanoVector) vector).get(index)), ZoneOffset.UTC);
      default -> vector.getObject(index);
    };
  }

  private static Instant instant(long nanos) {
    return Instant.ofEpochSecond(Math.floorDiv(nanos, 1_000_000_000L), Math.floorMod(nanos, 1_000_000_000L));
  }
}
