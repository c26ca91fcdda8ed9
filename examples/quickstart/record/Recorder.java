import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.BufferedWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Records the change events of database `shop` on 127.0.0.1:PORT as Debezium JSON lines until none came for five seconds. */
public class Recorder {
  public static void main(String[] args) throws Exception {
    Properties p = new Properties();
    p.setProperty("name", "recorder");
    p.setProperty("connector.class", "io.debezium.connector.mysql.MySqlConnector");
    p.setProperty("connector.adapter", "mariadb");
    p.setProperty("database.protocol", "jdbc:mariadb");
    p.setProperty("database.jdbc.driver", "org.mariadb.jdbc.Driver");
    p.setProperty("database.ssl.mode", "disabled");
    p.setProperty("database.hostname", "127.0.0.1");
    p.setProperty("database.port", args[0]);
    p.setProperty("database.user", "root");
    p.setProperty("database.password", "");
    p.setProperty("database.server.id", "4711");
    p.setProperty("database.include.list", "shop");
    p.setProperty("topic.prefix", "shop");
    p.setProperty("snapshot.mode", "initial");
    p.setProperty("tombstones.on.delete", "false");
    p.setProperty("bigint.unsigned.handling.mode", "precise");
    p.setProperty("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
    p.setProperty("schema.history.internal", "io.debezium.relational.history.MemorySchemaHistory");
    p.setProperty("converter.schemas.enable", "true");
    AtomicLong last = new AtomicLong(0);
    CountDownLatch ready = new CountDownLatch(1);
    try (BufferedWriter out = Files.newBufferedWriter(Path.of(args[1]))) {
      DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class).using(p)
          .using(new DebeziumEngine.ConnectorCallback() { public void taskStarted() { ready.countDown(); } })
          .notifying(event -> {
            if (event.value() == null || !event.destination().startsWith("shop.shop.")) return;
            synchronized (out) {
              try { out.write(event.value()); out.write('\n'); } catch (Exception e) { throw new RuntimeException(e); }
            }
            last.set(System.nanoTime());
          }).build();
      ExecutorService executor = Executors.newSingleThreadExecutor();
      executor.execute(engine);
      ready.await();
      while (last.get() == 0 || System.nanoTime() - last.get() < TimeUnit.SECONDS.toNanos(5)) Thread.sleep(200);
      engine.close();
      executor.shutdown();
    }
  }
}
