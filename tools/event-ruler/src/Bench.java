import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import software.amazon.event.ruler.Machine;

/** How many events a second one thread matches against all rules. */
final class Bench {
    private static final double WARM_UP_SECONDS = 8;

    private Bench() {}

    static void run(Path rules, Path events, double seconds, PrintStream out) throws Exception {
        Machine machine = machine(rules);
        List<String> lines = Files.readAllLines(events).stream().filter(line -> !line.isBlank()).toList();
        if (lines.isEmpty()) {
            throw new IOException(events + " has no event");
        }
        measure(machine, lines, WARM_UP_SECONDS);
        out.println(Lines.line(measure(machine, lines, seconds)));
    }

    private static Machine machine(Path rules) throws IOException {
        Machine machine = Machine.builder().build();
        ObjectMapper json = new ObjectMapper();
        int count = 0;
        for (JsonNode rule : json.readTree(Files.readString(rules))) {
            machine.addRule("r" + count++, json.writeValueAsString(rule));
        }
        return machine;
    }

    /** Whole passes over the events, until the time is over. */
    private static Map<String, Object> measure(Machine machine, List<String> lines, double seconds) throws Exception {
        long start = System.nanoTime();
        long end = start + (long) (seconds * 1e9);
        long passes = 0;
        long matches = 0;
        long now;
        do {
            for (String line : lines) {
                matches += machine.rulesForJSONEvent(line).size();
            }
            passes++;
            now = System.nanoTime();
        } while (now < end);
        double took = (now - start) / 1e9;
        long events = passes * lines.size();
        Map<String, Object> result = new TreeMap<>();
        result.put("events", events);
        result.put("seconds", took);
        result.put("events_per_sec", events / took);
        result.put("matches", matches);
        result.put("matches_per_pass", matches / passes);
        return result;
    }
}
