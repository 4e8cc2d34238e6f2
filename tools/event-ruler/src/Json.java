import java.util.Arrays;
import java.util.Collection;
import java.util.Map;
import java.util.stream.Collectors;

/** JSON as text: tests want duplicate keys, odd numbers and escapes that no tree would keep. */
final class Json {
    private Json() {}

    static String string(String text) {
        return string(text, null);
    }

    /** With dice, some characters are written as \\uXXXX. */
    static String string(String text, Dice dice) {
        StringBuilder json = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean pair = Character.isSurrogate(c);
            if (c < ' ' || c == 0x7f || (dice != null && !pair && dice.percent(35))) {
                json.append(escaped(c, dice));
            } else if (pair && dice != null && dice.percent(50)) {
                json.append(escaped(c, dice)).append(escaped(text.charAt(++i), dice)); // both or none
            } else if (c == '"' || c == '\\') {
                json.append('\\').append(c);
            } else {
                json.append(c);
                if (pair) {
                    json.append(text.charAt(++i));
                }
            }
        }
        return json.append('"').toString();
    }

    private static String escaped(char c, Dice dice) {
        return String.format(dice != null && dice.percent(50) ? "\\u%04X" : "\\u%04x", (int) c);
    }

    static String list(String... values) {
        return list(Arrays.asList(values));
    }

    static String list(Collection<String> values) {
        return "[" + String.join(",", values) + "]";
    }

    static String strings(Collection<String> values) {
        return values.stream().map(Json::string).collect(Collectors.joining(",", "[", "]"));
    }

    /** Keys and the JSON text of their values in turns. */
    static String object(String... members) {
        StringBuilder json = new StringBuilder("{");
        for (int i = 0; i < members.length; i += 2) {
            json.append(i == 0 ? "" : ",").append(string(members[i])).append(':').append(members[i + 1]);
        }
        return json.append('}').toString();
    }

    /** Of nested maps whose leaves are JSON text. */
    static String tree(Object tree) {
        if (tree instanceof Map<?, ?> map) {
            return map.entrySet().stream().map(entry -> string((String) entry.getKey()) + ":" + tree(entry.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
        }
        return (String) tree;
    }
}
