import com.aliyun.odps.Odps;
import com.aliyun.odps.account.AliyunAccount;
import com.aliyun.odps.data.ArrayRecord;
import com.aliyun.odps.data.Record;
import com.aliyun.odps.data.RecordWriter;
import com.aliyun.odps.tunnel.TableTunnel;
import com.aliyun.odps.tunnel.io.CompressOption;
import com.aliyun.odps.tunnel.streams.UpsertStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongFunction;

/**
 * Writes the rows of the comparison with the Java SDK: {@code WAY SHAPE ROWS TABLE COMPRESSION}. WAY is record or
 * upsert; the server is the one of the ODPS_ variables. The rows are those of tests/bench/rows.
 */
public class JavaWriter {
  private static final int FIRST_NULLABLE = 8;

  public static void main(String[] args) throws Exception {
    String way = args[0];
    boolean wide = args[1].equals("wide");
    long rows = Long.parseLong(args[2]);
    String table = args[3];
    CompressOption compression = new CompressOption(
        CompressOption.CompressAlgorithm.valueOf("ODPS_" + args[4].toUpperCase()), 1, 0);
    Odps odps = new Odps(new AliyunAccount(System.getenv("ODPS_ACCESS_ID"), System.getenv("ODPS_ACCESS_KEY")));
    odps.setEndpoint(System.getenv("ODPS_ENDPOINT"));
    String project = System.getenv("ODPS_PROJECT");
    odps.setDefaultProject(project);
    Object[][] pool = pool(wide);
    TableTunnel tunnel = new TableTunnel(odps);
    switch (way) {
      case "record" -> {
        var session = tunnel.createUploadSession(project, table);
        try (RecordWriter writer = session.openRecordWriter(0, compression)) {
          Record record = session.newRecord();
          for (long i = 0; i < rows; i++) {
            fill((ArrayRecord) record, i, pool);
            writer.write(record);
          }
        }
        session.commit(new Long[] {0L});
      }
      case "upsert" -> {
        try (var session = tunnel.buildUpsertSession(project, table).build()) {
          UpsertStream stream = session.buildUpsertStream().setCompressOption(compression).build();
          Record record = session.newRecord();
          for (long i = 0; i < rows; i++) {
            fill((ArrayRecord) record, i, pool);
            stream.upsert(record);
          }
          stream.flush();
          stream.close();
          session.commit(false);
        }
      }
      default -> throw new IllegalArgumentException(way);
    }
    System.exit(0);
  }

  private static void fill(ArrayRecord record, long i, Object[][] pool) throws Exception {
    record.set(0, i);
    Object[] row = pool[(int) (i % pool.length)];
    for (int column = 0; column < row.length; column++) record.set(column + 1, row[column]);
  }

  private static Object[][] pool(boolean wide) {
    List<LongFunction<Object>> columns = wide ? wide() : narrow();
    Object[][] pool = new Object[wide ? 8192 : 32768][columns.size()];
    for (int row = 0; row < pool.length; row++) {
      for (int column = 1; column <= columns.size(); column++) {
        boolean isNull = wide && column >= FIRST_NULLABLE && Long.remainderUnsigned(hash(row, column + 32), 16) == 0;
        pool[row][column - 1] = isNull ? null : columns.get(column - 1).apply(hash(row, column));
      }
    }
    return pool;
  }

  private static List<LongFunction<Object>> narrow() {
    return List.of(h -> "ord-" + hex(h, 16), JavaWriter::status, JavaWriter::doubled, JavaWriter::decimal2,
        JavaWriter::timestamp, h -> (int) below(h, 100_000));
  }

  private static List<LongFunction<Object>> wide() {
    List<LongFunction<Object>> columns = new ArrayList<>();
    for (int length : new int[] {8, 12, 16, 20, 24, 32, 40}) columns.add(h -> hex(h, length));
    columns.add(JavaWriter::status);
    for (int i = 0; i < 4; i++) columns.add(h -> h >> 24);
    for (int i = 0; i < 3; i++) columns.add(h -> (int) below(h, 100_000));
    columns.add(h -> (short) below(h, 30_000));
    for (int i = 0; i < 4; i++) columns.add(JavaWriter::doubled);
    columns.add(h -> (float) (below(h, 65_536) / 16.0));
    columns.add(JavaWriter::decimal2);
    columns.add(JavaWriter::decimal2);
    columns.add(h -> decimal(below(h, 1_000_000_000_000_000L) - 500_000_000_000_000L, 10));
    columns.add(h -> (h & 1) == 1);
    columns.add(h -> LocalDate.ofEpochDay(19_000 + below(h, 1_000)));
    columns.add(JavaWriter::timestamp);
    columns.add(JavaWriter::timestamp);
    columns.add(h -> hex(h, 10));
    return columns;
  }

  /** splitmix64 of row and column. */
  private static long hash(long row, long column) {
    long x = row * 64 + column + 0x9E3779B97F4A7C15L;
    x = (x ^ (x >>> 30)) * 0xBF58476D1CE4E5B9L;
    x = (x ^ (x >>> 27)) * 0x94D049BB133111EBL;
    return x ^ (x >>> 31);
  }

  private static long below(long h, long bound) {
    return Long.remainderUnsigned(h, bound);
  }

  private static String hex(long h, int length) {
    String digits = String.format("%016x", h);
    return digits.repeat(3).substring(0, length);
  }

  private static Object status(long h) {
    return String.format("status-%05d", below(h, 1_000));
  }

  private static Object doubled(long h) {
    return below(h, 1_000_000_007L) / 1000.0;
  }

  private static Object decimal2(long h) {
    return decimal(below(h, 10_000_000_000L) - 5_000_000_000L, 2);
  }

  private static Object decimal(long unscaled, int scale) {
    return new BigDecimal(BigInteger.valueOf(unscaled), scale);
  }

  private static Object timestamp(long h) {
    return Instant.ofEpochSecond(1_704_067_200L + below(h, 31_536_000L), below(h >>> 40, 1_000_000L) * 1_000);
  }
}
