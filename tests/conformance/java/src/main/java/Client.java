import com.aliyun.odps.Column;
import com.aliyun.odps.Odps;
import com.aliyun.odps.PartitionSpec;
import com.aliyun.odps.TableSchema;
import com.aliyun.odps.account.AliyunAccount;
import com.aliyun.odps.data.ArrayRecord;
import com.aliyun.odps.data.ArrowRecordReader;
import com.aliyun.odps.data.ArrowRecordWriter;
import com.aliyun.odps.data.Binary;
import com.aliyun.odps.data.Char;
import com.aliyun.odps.data.Record;
import com.aliyun.odps.data.RecordReader;
import com.aliyun.odps.data.RecordWriter;
import com.aliyun.odps.data.SimpleStruct;
import com.aliyun.odps.data.Struct;
import com.aliyun.odps.data.Varchar;
import com.aliyun.odps.tunnel.TableTunnel;
import com.aliyun.odps.tunnel.io.CompressOption;
import com.aliyun.odps.tunnel.streams.UpsertStream;
import com.aliyun.odps.type.ArrayTypeInfo;
import com.aliyun.odps.type.CharTypeInfo;
import com.aliyun.odps.type.MapTypeInfo;
import com.aliyun.odps.type.StructTypeInfo;
import com.aliyun.odps.type.TypeInfo;
import com.aliyun.odps.type.TypeInfoParser;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.VectorSchemaRoot;

/**
 * Writes and reads tables with the Java SDK as its users do:
 * {@code create|write|read|count TABLE [--mode M] [--rows FILE] [--partition pt=v] [--primary-key C] [--compress K]}.
 * Requests come as JSON lines {@code {"environment": {...}, "arguments": [...]}}, so that one process serves many;
 * each is answered by a line {@code {"output": "..."}} or {@code {"error": "..."}}. Rows travel as canonical JSON text,
 * the same as the Python client's.
 */
public class Client {
  private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
  private static final DateTimeFormatter MILLIS = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS");
  private static final DateTimeFormatter NANOS = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSSSSS");

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    String line;
    while ((line = requests.readLine()) != null) {
      JsonObject answer = new JsonObject();
      try {
        answer.addProperty("output", serve(JsonParser.parseString(line).getAsJsonObject()));
      } catch (Throwable failure) {
        StringWriter trace = new StringWriter();
        failure.printStackTrace(new PrintWriter(trace));
        answer.addProperty("error", trace.toString());
      }
      answers.println(GSON.toJson(answer));
    }
    System.exit(0);
  }

  private static String serve(JsonObject request) throws Exception {
    JsonObject environment = request.getAsJsonObject("environment");
    List<String> args = new ArrayList<>();
    for (JsonElement argument : request.getAsJsonArray("arguments")) args.add(argument.getAsString());
    Map<String, String> flags = new HashMap<>(Map.of("mode", "batch", "compress", "raw"));
    for (int i = 2; i < args.size(); i += 2) flags.put(args.get(i).substring(2), args.get(i + 1));
    Odps odps = new Odps(new AliyunAccount(
        environment.get("ODPS_ACCESS_ID").getAsString(), environment.get("ODPS_ACCESS_KEY").getAsString()));
    odps.setEndpoint(environment.get("ODPS_ENDPOINT").getAsString());
    odps.setDefaultProject(environment.get("ODPS_PROJECT").getAsString());
    String table = args.get(1);
    StringBuilder output = new StringBuilder();
    switch (args.get(0)) {
      case "create" -> create(odps, table, flags);
      case "write" -> write(odps, table, flags);
      case "read" -> read(odps, table, flags, output);
      case "count" -> output.append(download(odps, table, flags).getRecordCount());
      default -> throw new IllegalArgumentException("unknown action " + args.get(0));
    }
    return output.toString();
  }

  private static JsonObject rows(Map<String, String> flags) throws Exception {
    return JsonParser.parseString(Files.readString(Path.of(flags.get("rows")))).getAsJsonObject();
  }

  private static void create(Odps odps, String name, Map<String, String> flags) throws Exception {
    TableSchema schema = new TableSchema();
    String key = flags.get("primary-key");
    for (JsonElement column : rows(flags).getAsJsonArray("columns")) {
      String columnName = column.getAsJsonArray().get(0).getAsString();
      TypeInfo type = TypeInfoParser.getTypeInfoFromTypeString(column.getAsJsonArray().get(1).getAsString());
      Column.ColumnBuilder builder = Column.newBuilder(columnName, type);
      schema.addColumn(columnName.equals(key) ? builder.notNull().build() : builder.build());
    }
    if (flags.containsKey("partition")) {
      schema.addPartitionColumn(new Column(flags.get("partition").split("=")[0], com.aliyun.odps.OdpsType.STRING));
    }
    Map<String, String> hints = Map.of("odps.sql.type.system.odps2", "true", "odps.sql.decimal.odps2", "true");
    var creator = odps.tables().newTableCreator(odps.getDefaultProject(), name, schema).withHints(hints);
    if (key != null) creator = creator.transactionTable().withPrimaryKeys(List.of(key)).withDeltaTableBucketNum(4);
    creator.create();
    if (flags.containsKey("partition")) {
      odps.tables().get(name).createPartition(new PartitionSpec(flags.get("partition")), true);
    }
  }

  private static CompressOption compression(Map<String, String> flags) {
    String name = flags.get("compress");
    CompressOption.CompressAlgorithm algorithm = switch (name) {
      case "zlib" -> CompressOption.CompressAlgorithm.ODPS_ZLIB;
      case "snappy" -> CompressOption.CompressAlgorithm.ODPS_SNAPPY;
      case "lz4" -> flags.get("mode").equals("arrow") ? CompressOption.CompressAlgorithm.ODPS_ARROW_LZ4_FRAME
          : CompressOption.CompressAlgorithm.ODPS_LZ4_FRAME;
      case "raw" -> CompressOption.CompressAlgorithm.ODPS_RAW;
      default -> throw new IllegalArgumentException(name);
    };
    return new CompressOption(algorithm, 1, 0);
  }

  private static void write(Odps odps, String name, Map<String, String> flags) throws Exception {
    TableTunnel tunnel = new TableTunnel(odps);
    String project = odps.getDefaultProject();
    PartitionSpec partition = flags.containsKey("partition") ? new PartitionSpec(flags.get("partition")) : null;
    CompressOption option = compression(flags);
    JsonArray rows = rows(flags).getAsJsonArray("rows");
    switch (flags.get("mode")) {
      case "batch" -> {
        var session = partition == null ? tunnel.createUploadSession(project, name)
            : tunnel.createUploadSession(project, name, partition);
        for (long block = 0; block < 2; block++) {
          try (RecordWriter writer = session.openRecordWriter(block, option)) {
            for (int i = (int) block; i < rows.size(); i += 2) {
              Record record = session.newRecord();
              fill(record, session.getSchema(), rows.get(i).getAsJsonArray());
              writer.write(record);
            }
          }
        }
        session.commit(new Long[] {0L, 1L});
      }
      case "arrow" -> {
        var session = partition == null ? tunnel.createUploadSession(project, name)
            : tunnel.createUploadSession(project, name, partition);
        try (BufferAllocator allocator = new RootAllocator();
            VectorSchemaRoot root = VectorSchemaRoot.create(session.getArrowSchema(), allocator)) {
          for (long block = 0; block < 2; block++) {
            try (ArrowRecordWriter writer = session.openArrowRecordWriter(block, option)) {
              // A batch a row, so that blocks hold several batches.
              for (int i = (int) block; i < rows.size(); i += 2) {
                root.allocateNew();
                ArrowValues.fill(root, session.getSchema(), rows.get(i).getAsJsonArray());
                writer.write(root);
              }
            }
          }
        }
        session.commit(new Long[] {0L, 1L});
      }
      case "buffered" -> {
        var session = partition == null ? tunnel.createUploadSession(project, name)
            : tunnel.createUploadSession(project, name, partition);
        try (RecordWriter writer = session.openBufferedWriter(option)) {
          for (JsonElement row : rows) {
            Record record = session.newRecord();
            fill(record, session.getSchema(), row.getAsJsonArray());
            writer.write(record);
          }
        }
        session.commit();
      }
      case "stream" -> {
        var builder = tunnel.buildStreamUploadSession(project, name);
        if (partition != null) builder.setPartitionSpec(partition);
        var session = builder.build();
        var pack = session.newRecordPack(option);
        for (JsonElement row : rows) {
          Record record = session.newRecord();
          fill(record, session.getSchema(), row.getAsJsonArray());
          pack.append(record);
        }
        pack.flush();
      }
      case "upsert", "delete" -> {
        var builder = tunnel.buildUpsertSession(project, name);
        if (partition != null) builder.setPartitionSpec(partition);
        try (var session = builder.build()) {
          UpsertStream stream = session.buildUpsertStream().setCompressOption(option).build();
          for (JsonElement row : rows) {
            Record record = session.newRecord();
            fill(record, odps.tables().get(name).getSchema(), row.getAsJsonArray());
            if (flags.get("mode").equals("upsert")) stream.upsert(record);
            else stream.delete(record);
          }
          stream.flush();
          stream.close();
          session.commit(false);
        }
      }
      default -> throw new IllegalArgumentException("unknown mode " + flags.get("mode"));
    }
  }

  private static void fill(Record record, TableSchema schema, JsonArray row) {
    for (int i = 0; i < row.size(); i++) {
      ((ArrayRecord) record).set(i, decode(row.get(i), schema.getColumn(i).getTypeInfo()));
    }
  }

  static Object decode(JsonElement value, TypeInfo type) {
    if (value.isJsonNull()) return null;
    switch (type.getOdpsType()) {
      case ARRAY: {
        List<Object> list = new ArrayList<>();
        for (JsonElement e : value.getAsJsonArray()) list.add(decode(e, ((ArrayTypeInfo) type).getElementTypeInfo()));
        return list;
      }
      case MAP: {
        Map<Object, Object> map = new LinkedHashMap<>();
        for (JsonElement e : value.getAsJsonArray()) {
          map.put(decode(e.getAsJsonArray().get(0), ((MapTypeInfo) type).getKeyTypeInfo()),
              decode(e.getAsJsonArray().get(1), ((MapTypeInfo) type).getValueTypeInfo()));
        }
        return map;
      }
      case STRUCT: {
        StructTypeInfo struct = (StructTypeInfo) type;
        List<Object> values = new ArrayList<>();
        for (int i = 0; i < struct.getFieldCount(); i++) {
          values.add(decode(value.getAsJsonObject().get(struct.getFieldNames().get(i)), struct.getFieldTypeInfos().get(i)));
        }
        return new SimpleStruct(struct, values);
      }
      default:
    }
    String text = value.getAsString();
    return switch (type.getOdpsType()) {
      case TINYINT -> Byte.valueOf(text);
      case SMALLINT -> Short.valueOf(text);
      case INT -> Integer.valueOf(text);
      case BIGINT -> Long.valueOf(text);
      case BOOLEAN -> Boolean.valueOf(text);
      case FLOAT -> Float.valueOf(text);
      case DOUBLE -> Double.valueOf(text);
      case VARCHAR -> new Varchar(text);
      case CHAR -> new Char(text);
      case BINARY -> new Binary(HexFormat.of().parseHex(text));
      case DECIMAL -> new BigDecimal(text);
      case DATE -> LocalDate.parse(text);
      case DATETIME -> ZonedDateTime.ofInstant(Instant.parse(text), ZoneOffset.UTC);
      case TIMESTAMP -> Instant.parse(text);
      case TIMESTAMP_NTZ -> LocalDateTime.parse(text);
      default -> text;
    };
  }

  private static TableTunnel.DownloadSession download(Odps odps, String name, Map<String, String> flags) throws Exception {
    TableTunnel tunnel = new TableTunnel(odps);
    String project = odps.getDefaultProject();
    return flags.containsKey("partition")
        ? tunnel.createDownloadSession(project, name, new PartitionSpec(flags.get("partition")))
        : tunnel.createDownloadSession(project, name);
  }

  private static void read(Odps odps, String name, Map<String, String> flags, StringBuilder output) throws Exception {
    TableSchema schema = odps.tables().get(name).getSchema();
    var session = download(odps, name, flags);
    CompressOption option = compression(flags);
    switch (flags.get("mode")) {
      case "batch" -> {
        try (RecordReader reader = session.openRecordReader(0, session.getRecordCount(), option)) {
          Record record;
          while ((record = reader.read()) != null) {
            JsonObject row = new JsonObject();
            for (int i = 0; i < schema.getColumns().size(); i++) {
              Column column = schema.getColumn(i);
              row.add(column.getName(), encode(((ArrayRecord) record).get(i), column.getTypeInfo()));
            }
            output.append(GSON.toJson(row)).append('\n');
          }
        }
      }
      case "arrow" -> {
        try (BufferAllocator allocator = new RootAllocator();
            ArrowRecordReader reader =
                session.openArrowRecordReader(0, session.getRecordCount(), schema.getColumns(), allocator, option)) {
          VectorSchemaRoot batch;
          while ((batch = reader.read()) != null) {
            try (VectorSchemaRoot root = batch) {
              for (int row = 0; row < root.getRowCount(); row++) {
                output.append(GSON.toJson(ArrowValues.row(root, schema, row))).append('\n');
              }
            }
          }
        }
      }
      default -> throw new IllegalArgumentException("unknown mode " + flags.get("mode"));
    }
  }

  static JsonElement encode(Object value, TypeInfo type) {
    if (value == null) return JsonNull.INSTANCE;
    switch (type.getOdpsType()) {
      case ARRAY: {
        JsonArray array = new JsonArray();
        for (Object e : (List<?>) value) array.add(encode(e, ((ArrayTypeInfo) type).getElementTypeInfo()));
        return array;
      }
      case MAP: {
        JsonArray pairs = new JsonArray();
        for (Map.Entry<?, ?> e : ((Map<?, ?>) value).entrySet()) {
          JsonArray pair = new JsonArray();
          pair.add(encode(e.getKey(), ((MapTypeInfo) type).getKeyTypeInfo()));
          pair.add(encode(e.getValue(), ((MapTypeInfo) type).getValueTypeInfo()));
          pairs.add(pair);
        }
        return pairs;
      }
      case STRUCT: {
        JsonObject object = new JsonObject();
        Struct struct = (Struct) value;
        for (int i = 0; i < struct.getFieldCount(); i++) {
          object.add(struct.getFieldName(i), encode(struct.getFieldValue(i), struct.getFieldTypeInfo(i)));
        }
        return object;
      }
      default:
    }
    String text = switch (type.getOdpsType()) {
      case BINARY -> HexFormat.of().formatHex(((Binary) value).data());
      case STRING -> value instanceof byte[] bytes ? new String(bytes, StandardCharsets.UTF_8) : value.toString();
      case VARCHAR -> ((Varchar) value).getValue();
      case CHAR -> pad(((Char) value).getValue(), ((CharTypeInfo) type).getLength());
      case DECIMAL -> ((BigDecimal) value).toPlainString();
      case DATETIME -> MILLIS.format(((ZonedDateTime) value).withZoneSameInstant(ZoneOffset.UTC)) + "Z";
      case TIMESTAMP -> NANOS.format(((Instant) value).atZone(ZoneOffset.UTC)) + "Z";
      case TIMESTAMP_NTZ -> NANOS.format((LocalDateTime) value);
      default -> value.toString();
    };
    return GSON.toJsonTree(text);
  }

  /** The SDK trims what the service padded. */
  private static String pad(String text, int length) {
    return text + " ".repeat(Math.max(0, length - text.codePointCount(0, text.length())));
  }
}
