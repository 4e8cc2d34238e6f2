import java.io.IOException;
import java.io.PrintStream;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** Makes patterns and events, as many that match as not, and asks the judge. */
final class Corpus {
    private static final int MOST_TRIES = 200;

    private final PrintStream out;
    private final Set<Case> seen = new HashSet<>();

    private Corpus(PrintStream out) {
        this.out = out;
    }

    static void write(long seed, int count, int invalid, PrintStream out) throws IOException {
        Corpus corpus = new Corpus(out);
        Map<String, Function<Dice, Case>> groups = new LinkedHashMap<>();
        TextGroups.addTo(groups);
        NumberGroups.addTo(groups);
        AddressGroups.addTo(groups);
        StructureGroups.addTo(groups);
        int left = Math.max(0, count - invalid);
        int groupsLeft = groups.size();
        for (Map.Entry<String, Function<Dice, Case>> group : groups.entrySet()) {
            int share = left / groupsLeft--;
            left -= share;
            // Every group has dice of its own: one more group leaves the others as they are.
            corpus.group(group.getKey(), group.getValue(), new Dice(seed * 31 + group.getKey().hashCode()), share);
        }
        corpus.invalid(new Dice(seed * 31 + "invalid".hashCode()), invalid);
    }

    private void group(String operator, Function<Dice, Case> make, Dice dice, int count) throws IOException {
        int positives = count / 2;
        int negatives = count - positives;
        for (int tries = 0; positives + negatives > 0; tries++) {
            if (tries > count * MOST_TRIES) {
                throw new IOException(operator + ": " + positives + " that match and " + negatives + " that do not are missing");
            }
            Case made = make.apply(dice);
            if (seen.contains(made)) {
                continue;
            }
            Judge.Verdict verdict = Judge.verdict(made.pattern(), made.event());
            if (!verdict.valid()) {
                throw new IOException(operator + ": " + made + ": " + verdict.error());
            }
            boolean wanted = verdict.matches() ? positives > 0 : negatives > 0;
            if (!wanted || !verdict.error().isEmpty() || !Judge.plain(made.pattern(), made.event(), verdict.matches())) {
                continue;
            }
            if (verdict.matches()) {
                positives--;
            } else {
                negatives--;
            }
            print(operator, made, verdict);
        }
    }

    private void invalid(Dice dice, int count) throws IOException {
        Set<String> patterns = new HashSet<>();
        for (int tries = 0; patterns.size() < count; tries++) {
            if (tries > count * MOST_TRIES) {
                throw new IOException("only " + patterns.size() + " invalid patterns were found");
            }
            Case made = InvalidPatterns.make(dice, tries);
            if (patterns.contains(made.pattern()) || Judge.valid(made.pattern())) {
                continue;
            }
            patterns.add(made.pattern());
            print("invalid", made, Judge.verdict(made.pattern(), made.event()));
        }
    }

    private void print(String operator, Case made, Judge.Verdict verdict) throws IOException {
        seen.add(made);
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("operator", operator);
        line.put("pattern", made.pattern());
        line.put("event", made.event());
        line.put("valid", verdict.valid());
        line.put("matches", verdict.matches());
        out.print(Lines.line(line) + "\n");
    }
}
