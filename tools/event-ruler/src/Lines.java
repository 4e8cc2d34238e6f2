import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;

/** Modes that read one JSON object per line and answer each. */
final class Lines {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Lines() {}

    static void verdicts(BufferedReader in, PrintStream out) throws IOException {
        for (String line; (line = in.readLine()) != null;) {
            JsonNode asked = JSON.readTree(line);
            Judge.Verdict verdict = Judge.verdict(asked.path("pattern").asText(), asked.path("event").asText());
            ObjectNode answer = JSON.createObjectNode();
            answer.put("valid", verdict.valid()).put("matches", verdict.matches()).put("error", verdict.error());
            print(answer, in, out);
        }
    }

    /** Keeps what the line has and adds the verdict. */
    static void judge(BufferedReader in, PrintStream out) throws IOException {
        for (String line; (line = in.readLine()) != null;) {
            if (line.isBlank()) {
                continue;
            }
            ObjectNode triple = (ObjectNode) JSON.readTree(line);
            Judge.Verdict verdict = Judge.verdict(triple.path("pattern").asText(), triple.path("event").asText());
            triple.put("valid", verdict.valid()).put("matches", verdict.matches());
            print(triple, in, out);
        }
    }

    static String line(Object value) throws IOException {
        return JSON.writeValueAsString(value);
    }

    private static void print(ObjectNode node, BufferedReader in, PrintStream out) throws IOException {
        out.print(line(node) + "\n");
        if (!in.ready()) {
            out.flush(); // whoever asks one by one waits for the answer
        }
    }
}
