import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

/** Reads one record per line from a file with Connect's JsonConverter, and prints what a sink gets. */
public class Converted {
    public static void main(String[] arguments) throws Exception {
        try (JsonConverter converter = new JsonConverter()) {
            converter.configure(Map.of("schemas.enable", "true", "converter.type", "value"));
            for (String line : Files.readAllLines(Path.of(arguments[0]))) {
                SchemaAndValue read = converter.toConnectData("t", line.getBytes(StandardCharsets.UTF_8));
                Struct forecast = (Struct) read.value();
                forecast.validate();
                java.util.Date time = (java.util.Date) forecast.get("time");
                Map<String, java.util.List<Double>> quantiles = forecast.getMap("quantiles");
                System.out.println(String.join("|", forecast.getString("series"), "" + time.getTime(),
                    "" + forecast.getFloat64("value"), "" + quantiles.get("0.5").get(0),
                    "" + forecast.getArray("horizon"), "" + forecast.getStruct("source").getInt64("offset")));
            }
        }
    }
}
