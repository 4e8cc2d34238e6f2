import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** What AWS's event-ruler thinks of event patterns. */
public final class Main {
    private static final String USAGE = """
            usage: event-ruler verdicts                           {"pattern","event"} lines in, verdicts out
                   event-ruler judge                              lines in, the same lines with verdicts out
                   event-ruler corpus --seed N --count M [--invalid K]
                   event-ruler bench RULES_FILE EVENTS_FILE SECONDS""";

    private Main() {}

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        switch (args.length == 0 ? "" : args[0]) {
            case "verdicts" -> Lines.verdicts(input(), out);
            case "judge" -> Lines.judge(input(), out);
            case "corpus" -> {
                Map<String, Long> options = options(args);
                Corpus.write(options.getOrDefault("--seed", 1L), options.getOrDefault("--count", 6000L).intValue(),
                        options.getOrDefault("--invalid", 600L).intValue(), out);
            }
            case "bench" -> {
                if (args.length != 4) {
                    usage();
                }
                Bench.run(Path.of(args[1]), Path.of(args[2]), Double.parseDouble(args[3]), out);
            }
            default -> usage();
        }
        out.flush();
    }

    private static BufferedReader input() {
        return new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    }

    private static Map<String, Long> options(String[] args) throws IOException {
        Map<String, Long> options = new HashMap<>();
        for (int i = 1; i + 1 < args.length; i += 2) {
            options.put(args[i], Long.parseLong(args[i + 1]));
        }
        return options;
    }

    private static void usage() {
        System.err.println(USAGE);
        System.exit(2);
    }
}
