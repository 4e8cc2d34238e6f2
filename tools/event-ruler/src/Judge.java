import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import software.amazon.event.ruler.JsonRuleCompiler;
import software.amazon.event.ruler.Machine;
import software.amazon.event.ruler.Patterns;

/** Asks event-ruler. Every pattern gets a machine of its own. */
final class Judge {
    private static final String RULE = "rule";
    private static final int MOST_PARTS = 400;

    private Judge() {}

    /** What event-ruler says; `error` is empty when it had no complaint. */
    record Verdict(boolean valid, boolean matches, String error) {}

    static Verdict verdict(String pattern, String event) {
        Machine machine = Machine.builder().build();
        try {
            machine.addRule(RULE, pattern);
        } catch (Exception | StackOverflowError | AssertionError error) {
            return new Verdict(false, false, String.valueOf(error));
        }
        return match(machine, event);
    }

    static boolean valid(String pattern) {
        try {
            Machine.builder().build().addRule(RULE, pattern);
            return true;
        } catch (Exception | StackOverflowError | AssertionError error) {
            return false;
        }
    }

    private static Verdict match(Machine machine, String event) {
        try {
            return new Verdict(true, !machine.rulesForJSONEvent(event).isEmpty(), "");
        } catch (Exception | StackOverflowError error) {
            return new Verdict(true, false, String.valueOf(error));
        }
    }

    /**
     * Does event-ruler say the same of the pattern as of its parts, each in a
     * machine of its own? A pattern is the disjunction of those that have one
     * alternative for each field; where the verdicts differ, states of the
     * machine got mixed up. Such a verdict says nothing about patterns.
     */
    static boolean plain(String pattern, String event, boolean matches) {
        List<Map<String, List<Patterns>>> rules;
        try {
            rules = JsonRuleCompiler.compile(pattern);
        } catch (Exception error) {
            return true; // the old syntax, without $or
        }
        if (alike(rules)) {
            return false;
        }
        List<Map<String, List<Patterns>>> parts = new ArrayList<>();
        for (Map<String, List<Patterns>> rule : rules) {
            List<Map<String, List<Patterns>>> some = new ArrayList<>();
            some.add(Map.of());
            for (Map.Entry<String, List<Patterns>> field : rule.entrySet()) {
                List<Map<String, List<Patterns>>> more = new ArrayList<>();
                for (Map<String, List<Patterns>> part : some) {
                    for (Patterns alternative : field.getValue()) {
                        Map<String, List<Patterns>> longer = new HashMap<>(part);
                        longer.put(field.getKey(), List.of(alternative));
                        more.add(longer);
                    }
                }
                some = more;
                if (some.size() > MOST_PARTS) {
                    return true;
                }
            }
            parts.addAll(some);
        }
        for (Map<String, List<Patterns>> part : parts) {
            Machine machine = Machine.builder().build();
            try {
                machine.addPatternRule(RULE, part);
            } catch (Exception error) {
                return false;
            }
            if (match(machine, event).matches()) {
                return matches;
            }
        }
        return !matches;
    }

    /**
     * Are there two rules for the same fields, as $or makes them, which share an
     * alternative for each of them? event-ruler may take the second for a
     * repetition of the first, even by the addresses of its objects.
     */
    private static boolean alike(List<Map<String, List<Patterns>>> rules) {
        for (int i = 0; i < rules.size(); i++) {
            for (int k = 0; k < i; k++) {
                Map<String, List<Patterns>> one = rules.get(i);
                Map<String, List<Patterns>> other = rules.get(k);
                if (one.keySet().equals(other.keySet()) && !one.equals(other)
                        && one.keySet().stream().noneMatch(name -> Collections.disjoint(one.get(name), other.get(name)))) {
                    return true;
                }
            }
        }
        return false;
    }
}
