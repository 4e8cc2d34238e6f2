import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Groups about strings. */
final class TextGroups {
    private TextGroups() {}

    static void addTo(Map<String, Function<Dice, Case>> groups) {
        groups.put("exact-string", TextGroups::exact);
        groups.put("exact-literal", TextGroups::literal);
        groups.put("prefix", dice -> affix(dice, false, false));
        groups.put("suffix", dice -> affix(dice, true, false));
        groups.put("equals-ignore-case", TextGroups::ignoreCase);
        groups.put("prefix-ignore-case", dice -> affix(dice, false, true));
        groups.put("suffix-ignore-case", dice -> affix(dice, true, true));
        groups.put("wildcard", TextGroups::wildcard);
        groups.put("anything-but", TextGroups::anythingBut);
        groups.put("anything-but-prefix", dice -> anythingButAffix(dice, "prefix"));
        groups.put("anything-but-suffix", dice -> anythingButAffix(dice, "suffix"));
        groups.put("anything-but-ignore-case", TextGroups::anythingButIgnoreCase);
        groups.put("anything-but-wildcard", TextGroups::anythingButWildcard);
        groups.put("unicode", TextGroups::unicode);
    }

    static String operator(String name, String argument) {
        return Json.object(name, argument);
    }

    /** Mostly the string; else one in a list, or something that is no string at all. */
    private static String value(Dice dice, String text) {
        int how = dice.below(100);
        if (how < 80) {
            return Json.string(text);
        }
        if (how < 88) {
            return Json.list(Json.string(dice.string("xyz", 1, 2)), Json.string(text));
        }
        if (how < 92) {
            return Json.list(Json.list(Json.string(text)), dice.of("1", "null", "{}"));
        }
        return dice.of("[]", "{}", "null", "true", "false", "0", "12", "1.5", "[12]", "\"\"",
                Json.object("Name", Json.string(text)), Json.list(Json.object("Name", Json.string(text))));
    }

    /** The operator, at times among other alternatives that rarely match. */
    private static String among(Dice dice, String operator) {
        if (dice.percent(85)) {
            return Json.list(operator);
        }
        String other = dice.of("\"qq\"", "17", "null", "{\"prefix\":\"qq\"}", "{\"suffix\":\"qq\"}",
                "{\"numeric\":[\"=\",17]}", "{\"wildcard\":\"q*q\"}", "{\"equals-ignore-case\":\"qq\"}");
        return dice.percent(50) ? Json.list(operator, other) : Json.list(other, operator);
    }

    private static Case exact(Dice dice) {
        List<String> words = new ArrayList<>();
        for (int i = dice.of(1, 1, 2, 3); i > 0; i--) {
            words.add(dice.percent(10) ? dice.of("17", "true", "null", "1.0", "10.0", "\"", "\\", "[]") : dice.word());
        }
        String word = dice.of(words);
        String list = words.stream()
                .map(text -> dice.percent(20) ? operator("exactly", Json.string(text)) : Json.string(text))
                .collect(Collectors.joining(",", "[", "]"));
        if (!dice.percent(50)) {
            String near = dice.mutated(word);
            boolean bare = dice.percent(40) && List.of("17", "true", "null", "1.0", "10.0", "[]").contains(word);
            return Scene.any(dice).with(list, bare ? word : value(dice, near));
        }
        return Scene.any(dice).with(list, value(dice, word));
    }

    private static Case literal(Dice dice) {
        List<String> literals = List.of("true", "false", "null");
        List<String> some = new ArrayList<>(List.of(dice.of(literals)));
        if (dice.percent(25)) {
            some.add(dice.of(literals));
        }
        String literal = dice.of(some);
        String value = dice.percent(45) ? literal
                : dice.percent(40) ? dice.of(literals)
                : dice.of(Json.string(literal), "0", "1", "\"\"", "[]", "{}", null, Json.list(Json.string(literal)));
        if (value != null && dice.percent(25)) {
            value = dice.percent(50) ? Json.list(dice.of(literals), value) : Json.list(Json.list(value), "\"x\"");
        }
        return Scene.any(dice).with(among(dice, String.join(",", some)), value);
    }

    private static Case affix(Dice dice, boolean suffix, boolean ignoreCase) {
        String alphabet = ignoreCase ? "abABßé" : "abAB\"\\";
        String part = dice.percent(5) ? "" : dice.percent(50) ? dice.string(alphabet, 1, 4) : cut(dice, dice.word(), suffix);
        String rest = dice.percent(20) ? "" : dice.string(alphabet, 1, 4);
        String start = ignoreCase ? dice.recased(part) : part;
        if (dice.percent(45)) {
            start = dice.mutated(start, alphabet);
        }
        String text = suffix ? rest + start : start + rest;
        if (dice.percent(8)) {
            text = suffix ? start + rest : rest + start;
        }
        String argument = Json.string(part);
        String name = suffix ? "suffix" : "prefix";
        String operator = operator(name, ignoreCase ? operator("equals-ignore-case", argument) : argument);
        return Scene.any(dice).with(among(dice, operator), value(dice, text));
    }

    /** One end of the word. */
    private static String cut(Dice dice, String word, boolean suffix) {
        int at = word.isEmpty() ? 0 : dice.below(word.length());
        return suffix ? word.substring(at) : word.substring(0, word.length() - at);
    }

    private static Case ignoreCase(Dice dice) {
        String text = dice.percent(30) ? dice.string("abABßéÉ", 0, 4) : dice.word();
        String other = dice.recased(text);
        if (dice.percent(45)) {
            other = dice.mutated(other);
        }
        return Scene.any(dice).with(among(dice, operator("equals-ignore-case", Json.string(text))), value(dice, other));
    }

    /** The parts of a wildcard: `*`, and letters that may need an escape. */
    private static List<String> glob(Dice dice, String alphabet) {
        List<String> parts = new ArrayList<>();
        if (dice.percent(25)) {
            String word = dice.of(Words.VSPHERE).replace("*", "");
            int at = dice.below(word.length() + 1);
            parts.add(word.substring(0, at));
            parts.add(null);
            parts.add(dice.percent(60) ? word.substring(at) : "");
            return parts;
        }
        boolean star = dice.percent(40);
        for (int i = dice.between(1, 4); i > 0; i--) {
            if (star) {
                parts.add(null);
            }
            parts.add(dice.string(alphabet, 1, 3));
            star = true;
        }
        if (dice.percent(40)) {
            parts.add(null);
        }
        if (dice.percent(4)) {
            return dice.percent(50) ? new ArrayList<>(List.of("")) : new ArrayList<>(java.util.Collections.singletonList(null));
        }
        return parts;
    }

    private static String globPattern(List<String> parts) {
        return parts.stream().map(part -> part == null ? "*" : part.replace("\\", "\\\\").replace("*", "\\*"))
                .collect(Collectors.joining());
    }

    private static String globText(Dice dice, List<String> parts, String alphabet) {
        return parts.stream().map(part -> part == null ? dice.string(alphabet, 0, 2) : part).collect(Collectors.joining());
    }

    private static Case wildcard(Dice dice) {
        String alphabet = dice.of("ab", "ab*", "ab\\*", "ab\"", "aA");
        List<String> parts = glob(dice, alphabet);
        String text = globText(dice, parts, alphabet);
        for (int i = dice.of(0, 0, 1, 1, 2); i > 0; i--) {
            text = dice.mutated(text, alphabet);
        }
        return Scene.any(dice).with(among(dice, operator("wildcard", Json.string(globPattern(parts)))), value(dice, text));
    }

    private static Case anythingBut(Dice dice) {
        boolean numbers = dice.percent(30);
        List<String> values = new ArrayList<>();
        for (int i = dice.of(1, 1, 2, 3); i > 0; i--) {
            values.add(numbers ? NumberGroups.simple(dice) : Json.string(dice.word()));
        }
        boolean scalar = values.size() == 1 && dice.percent(60);
        String operator = operator("anything-but", scalar ? values.get(0) : Json.list(values));
        String one = dice.of(values);
        String value;
        if (dice.percent(55)) {
            value = numbers ? NumberGroups.spelled(dice, one) : one;
        } else {
            value = numbers ? NumberGroups.simple(dice) : Json.string(dice.mutated(one.substring(1, one.length() - 1).replace("\\", "")));
        }
        if (dice.percent(8)) {
            value = dice.of("[]", "{}", null, "null", "true", Json.string(one.replace("\"", "").replace("\\", "")));
        } else if (dice.percent(20)) {
            value = dice.percent(50) ? Json.list(one, value) : Json.list(Json.list(value), one);
        }
        return Scene.any(dice).with(Json.list(operator), value);
    }

    private static String button(Dice dice, String name, List<String> values) {
        boolean scalar = values.size() == 1 && dice.percent(60);
        return Json.list(operator("anything-but", operator(name, scalar ? Json.string(values.get(0)) : Json.strings(values))));
    }

    /** The text, among others that are refused as well, or something else altogether. */
    private static String refused(Dice dice, String text, String other) {
        if (dice.percent(6)) {
            return dice.of("[]", "{}", null, "null", "true", "7", Json.list());
        }
        if (dice.percent(20)) {
            return Json.list(Json.string(other), Json.string(text));
        }
        return Json.string(text);
    }

    private static Case anythingButAffix(Dice dice, String name) {
        boolean suffix = name.equals("suffix");
        List<String> parts = new ArrayList<>();
        for (int i = dice.of(1, 1, 2, 3); i > 0; i--) {
            String part = dice.percent(50) ? dice.string("abA", 1, 3) : cut(dice, dice.word(), suffix);
            parts.add(part.isEmpty() ? "a" : part);
        }
        String part = dice.of(parts);
        String start = dice.percent(45) ? dice.mutated(part, "abAB") : part;
        String rest = dice.string("abA", 0, 3);
        String text = suffix ? rest + start : start + rest;
        String other = suffix ? "x" + dice.of(parts) : dice.of(parts) + "x";
        return Scene.any(dice).with(button(dice, name, parts), refused(dice, text, other));
    }

    private static Case anythingButIgnoreCase(Dice dice) {
        List<String> words = new ArrayList<>();
        for (int i = dice.of(1, 1, 2, 3); i > 0; i--) {
            words.add(dice.percent(30) ? dice.string("abABßé", 0, 3) : dice.word());
        }
        String text = dice.recased(dice.of(words));
        if (dice.percent(45)) {
            text = dice.mutated(text);
        }
        return Scene.any(dice).with(button(dice, "equals-ignore-case", words), refused(dice, text, dice.recased(dice.of(words))));
    }

    private static Case anythingButWildcard(Dice dice) {
        String alphabet = dice.of("ab", "ab*", "ab\\*", "aA");
        List<String> patterns = new ArrayList<>();
        List<String> texts = new ArrayList<>();
        for (int i = dice.of(1, 1, 2, 3); i > 0; i--) {
            List<String> parts = glob(dice, alphabet);
            patterns.add(globPattern(parts));
            texts.add(globText(dice, parts, alphabet));
        }
        String text = dice.of(texts);
        for (int i = dice.of(0, 1, 1, 2); i > 0; i--) {
            text = dice.mutated(text, alphabet);
        }
        return Scene.any(dice).with(button(dice, "wildcard", patterns), refused(dice, text, dice.of(texts)));
    }

    private static final String[] ALPHABETS = {"äöüÄÖÜ", "ßSs", "İiIı", "\u212akK", "éÉe\u0301", "ΣσςΑ", "ДдЖж", "日本語",
        "😀😁a", "𝒜𐐀𐐨", "ⱥȺa", "ŉΐﬀF", "ſSs", "ǅǄǆ", "\u00b5\u03bc\u039c", "\u0000\u001f\u007f\u0080", "\ufffd\uffff\ue000", "a\"\\/"};

    private static Case unicode(Dice dice) {
        String alphabet = dice.of(ALPHABETS);
        String text = dice.string(alphabet, 1, 3);
        String other = text;
        if (dice.percent(50)) {
            other = dice.mutated(other, alphabet);
        }
        String rest = dice.string(alphabet, 0, 2);
        Dice escapes = dice.percent(50) ? dice : null;
        String quoted = Json.string(text, escapes);
        String operator;
        switch (dice.below(10)) {
            case 0, 1 -> operator = quoted;
            case 2 -> {
                operator = operator("prefix", quoted);
                other += rest;
            }
            case 3 -> {
                operator = operator("suffix", quoted);
                other = rest + other;
            }
            case 4, 5 -> {
                operator = operator("equals-ignore-case", quoted);
                other = folded(dice, other);
            }
            case 6 -> {
                operator = operator("prefix", operator("equals-ignore-case", quoted));
                other = folded(dice, other) + rest;
            }
            case 7 -> {
                operator = operator("suffix", operator("equals-ignore-case", quoted));
                other = rest + folded(dice, other);
            }
            case 8 -> {
                operator = operator("wildcard", Json.string("*" + text.replace("\\", "\\\\") + "*", escapes));
                other = rest + other + dice.string(alphabet, 0, 2);
            }
            default -> {
                operator = operator("anything-but", dice.percent(50) ? quoted
                        : operator("equals-ignore-case", Json.list(quoted, Json.string(rest))));
            }
        }
        return Scene.small(dice).with(Json.list(operator), Json.string(other, dice.percent(50) ? dice : null));
    }

    /** In the other case, as Unicode says for a whole string: ß becomes SS. */
    private static String folded(Dice dice, String text) {
        return switch (dice.below(4)) {
            case 0 -> text.toUpperCase(java.util.Locale.ROOT);
            case 1 -> text.toLowerCase(java.util.Locale.ROOT);
            case 2 -> dice.recased(text);
            default -> text;
        };
    }
}
