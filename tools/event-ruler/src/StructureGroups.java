import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Groups about fields: which there are, and how conditions on several of them combine. */
final class StructureGroups {
    private StructureGroups() {}

    static void addTo(Map<String, Function<Dice, Case>> groups) {
        groups.put("exists", StructureGroups::exists);
        groups.put("$or", StructureGroups::or);
        groups.put("arrays", StructureGroups::arrays);
        groups.put("nesting", StructureGroups::nesting);
        groups.put("keys", StructureGroups::keys);
    }

    // --- exists ---

    private static final String[] VALUES = {"1", "\"x\"", "\"\"", "null", "false", "[]", "{}", "[[]]", "[{}]", "[null]",
        "[[1]]", "[{\"k\":1}]", "{\"k\":1}", "{\"k\":[]}", "{\"k\":{}}", "{\"k\":null}", "[1,{}]", "[[],[\"\"]]", null, null, null};

    private static Case exists(Dice dice) {
        String exists = "{\"exists\":" + dice.of("true", "false") + "}";
        int how = dice.below(10);
        if (how < 6) {
            String list = dice.percent(80) ? Json.list(exists) : dice.percent(50) ? Json.list(exists, dice.of("\"x\"", "{\"anything-but\":1}"))
                    : Json.list(dice.of("\"x\"", "5"), exists);
            return Scene.any(dice).with(list, dice.of(VALUES));
        }
        if (how < 8) {
            // One level above or below what is there.
            Scene scene = Scene.small(dice);
            String value = dice.of(VALUES);
            String pattern = scene.pattern("[]");
            return new Case(dice.percent(50) ? pattern.replace("[]", "{\"k\":" + Json.list(exists) + "}")
                    : pattern.replaceFirst("\\[\\]", Json.list(exists)), scene.event(value));
        }
        // In arrays, beside a field that picks the element.
        String other = dice.of("a", "c");
        String pattern = Json.object("l", Json.object("b", Json.list(exists), other, "[1]"));
        List<String> elements = new ArrayList<>();
        for (int i = dice.between(1, 3); i > 0; i--) {
            elements.add(dice.percent(50) ? Json.object(other, dice.of("1", "2")) : Json.object(other, dice.of("1", "2"), "b", dice.of("1", "[]", "null")));
        }
        return new Case(pattern, Json.object("l", Json.list(elements)));
    }

    // --- $or ---

    private static Case or(Dice dice) {
        List<String> names = dice.percent(30) ? List.of("Vm", "Host", "Key", "UserName") : List.of("a", "b", "c", "d");
        String nested = dice.of("e", "Datacenter");
        Map<String, Object> event = new LinkedHashMap<>();
        for (String name : names) {
            if (dice.percent(75)) {
                event.put(name, plain(dice));
            }
        }
        if (dice.percent(70)) {
            event.put(nested, Json.object("f", plain(dice), "g", plain(dice)));
        }
        StringBuilder pattern = new StringBuilder("{");
        if (dice.percent(35)) {
            pattern.append(Json.string(dice.of(names))).append(":[").append(plain(dice)).append("],");
        }
        pattern.append("\"$or\":").append(branches(dice, names, nested, 2));
        if (dice.percent(15)) {
            pattern.append(",\"$or\":").append(branches(dice, names, nested, 1));
        }
        if (dice.percent(25)) {
            pattern.append(",\"").append(nested).append("\":{\"$or\":").append(branches(dice, List.of("f", "g"), "h", 0)).append("}");
        }
        if (dice.percent(15)) {
            pattern.append(",").append(Json.string(dice.of(names))).append(":[").append(plain(dice)).append("]");
        }
        pattern.append("}");
        if (dice.percent(25)) {
            return new Case(Json.object("detail", pattern.toString()), Json.object("source", "\"vcenter\"", "detail", Json.tree(event)));
        }
        return new Case(pattern.toString(), Json.tree(event));
    }

    private static String plain(Dice dice) {
        return dice.of("1", "2", "\"x\"");
    }

    private static String branches(Dice dice, List<String> names, String nested, int depth) {
        List<String> branches = new ArrayList<>();
        for (int i = dice.of(2, 2, 3, 4); i > 0; i--) {
            Map<String, Object> branch = new LinkedHashMap<>();
            for (int k = dice.of(1, 1, 2); k > 0; k--) {
                branch.put(dice.of(names), alternatives(dice));
            }
            if (depth > 0 && dice.percent(15)) {
                branch.put(nested, Json.object(dice.of("f", "g"), alternatives(dice)));
            }
            if (depth > 0 && dice.percent(15)) {
                branch.put("$or", branches(dice, names, nested, depth - 1));
            }
            branches.add(Json.tree(branch));
        }
        return Json.list(branches);
    }

    private static String alternatives(Dice dice) {
        return dice.of("[1]", "[2]", "[\"x\"]", "[1,\"x\"]", "[{\"exists\":false}]", "[{\"numeric\":[\">\",1]}]",
                "[{\"prefix\":\"x\"}]", "[{\"anything-but\":[1,2]}]", "[{\"anything-but\":\"x\"}]");
    }

    // --- arrays ---

    private static Case arrays(Dice dice) {
        int how = dice.below(10);
        if (how < 2) {
            return Scene.any(dice).with(Json.list(plain(dice)), numbers(dice, 2));
        }
        if (how < 4) {
            // A list in each element of a list.
            List<String> elements = new ArrayList<>();
            for (int i = dice.between(1, 3); i > 0; i--) {
                List<String> inner = new ArrayList<>();
                for (int k = dice.between(0, 3); k > 0; k--) {
                    inner.add(element(dice, "p", "q"));
                }
                elements.add(Json.object("n", plain(dice), "m", Json.list(inner)));
            }
            Map<String, Object> fields = new LinkedHashMap<>();
            if (dice.percent(60)) {
                fields.put("n", Json.list(plain(dice)));
            }
            Map<String, Object> inner = new LinkedHashMap<>();
            inner.put("p", Json.list(condition(dice)));
            if (dice.percent(70)) {
                inner.put("q", Json.list(condition(dice)));
            }
            fields.put("m", inner);
            return new Case(Json.object("l", Json.tree(fields)), Json.object("l", Json.list(elements)));
        }
        if (how < 6) {
            // Two lists beside each other, which do not bind each other; or a list in a list.
            if (dice.percent(50)) {
                String pattern = Json.object("l", Json.object("a", Json.list(plain(dice))), "m", Json.object("b", Json.list(plain(dice)), "c", Json.list(plain(dice))));
                return new Case(pattern, Json.object("l", list(dice, "a", "b"), "m", list(dice, "b", "c")));
            }
            String pattern = Json.object("l", Json.object("a", Json.list(plain(dice)), "b", Json.list(condition(dice))));
            return new Case(pattern, Json.object("l", Json.list(list(dice, "a", "b"), list(dice, "a", "b"), element(dice, "a", "b"))));
        }
        // Two or three fields of the same element, as of a vSphere ConfigSpec.
        boolean real = dice.percent(40);
        String a = real ? "Key" : "a";
        String b = real ? "Operation" : "b";
        String c = real ? "Unit" : "c";
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put(a, Json.list(condition(dice)));
        fields.put(b, Json.list(condition(dice)));
        if (dice.percent(35)) {
            fields.put(c, Json.list(condition(dice)));
        }
        List<String> elements = new ArrayList<>();
        for (int i = dice.between(1, 4); i > 0; i--) {
            elements.add(dice.percent(90) ? element(dice, a, b, c) : dice.of("[]", "{}", "1", "null", list(dice, a, b)));
        }
        String pattern = Json.object("l", Json.tree(fields));
        String event = Json.object("l", Json.list(elements));
        if (real) {
            pattern = Json.object("detail", Json.object("data", pattern));
            event = Json.object("detail", Json.object("subject", "\"VmReconfiguredEvent\"", "data", event));
        }
        return new Case(pattern, event);
    }

    private static String numbers(Dice dice, int depth) {
        List<String> values = new ArrayList<>();
        for (int i = dice.between(0, 3); i > 0; i--) {
            values.add(depth > 0 && dice.percent(25) ? numbers(dice, depth - 1) : dice.of("1", "2", "\"x\"", "3", "\"1\"", "{}", "null", "{\"k\":1}"));
        }
        return Json.list(values);
    }

    private static String element(Dice dice, String... names) {
        List<String> members = new ArrayList<>();
        for (String name : names) {
            if (dice.percent(85)) {
                members.add(name);
                members.add(dice.percent(85) ? plain(dice) : Json.list(plain(dice), plain(dice)));
            }
        }
        return Json.object(members.toArray(String[]::new));
    }

    private static String list(Dice dice, String... names) {
        List<String> elements = new ArrayList<>();
        for (int i = dice.between(0, 3); i > 0; i--) {
            elements.add(element(dice, names));
        }
        return Json.list(elements);
    }

    private static String condition(Dice dice) {
        return dice.percent(75) ? plain(dice) : dice.of("{\"exists\":true}", "{\"exists\":false}", "{\"anything-but\":1}", "1,\"x\"", "{\"numeric\":[\"<\",2]}");
    }

    // --- nesting ---

    /** Conditions and a value that meets them. */
    private static final String[][] MET = {{"1", "1"}, {"\"x\"", "\"x\""}, {"true", "true"}, {"null", "null"},
        {"{\"prefix\":\"Vm\"}", "\"VmPoweredOnEvent\""}, {"{\"suffix\":\"Event\"}", "\"VmPoweredOffEvent\""},
        {"{\"equals-ignore-case\":\"ROOT\"}", "\"Root\""}, {"{\"wildcard\":\"DC0_*_VM?\"}", "\"DC0_H0_VM?\""},
        {"{\"wildcard\":\"*powered*on*\"}", "\"vm powered on\""}, {"{\"numeric\":[\">\",0,\"<=\",5]}", "5.0"},
        {"{\"cidr\":\"10.0.0.0/9\"}", "\"10.100.2.3\""}, {"{\"anything-but\":\"root\"}", "\"admin\""},
        {"{\"anything-but\":[1,2]}", "3"}, {"{\"anything-but\":{\"prefix\":\"vpxd\"}}", "\"vc\""},
        {"{\"exists\":true}", "0"}, {"\"x\",{\"prefix\":\"y\"},5", "5"}, {"{\"prefix\":{\"equals-ignore-case\":\"vm\"}}", "\"VM-1\""}};

    private static Case nesting(Dice dice) {
        Map<String, Object> event = new LinkedHashMap<>();
        Map<String, Object> pattern = new LinkedHashMap<>();
        int broken = dice.percent(45) ? 0 : -1;
        grow(dice, event, pattern, 3);
        String text = Json.tree(event);
        if (broken == 0) {
            // One value less, or another.
            List<String> leaves = new ArrayList<>();
            leaves(event, leaves);
            String leaf = dice.of(leaves);
            int at = text.indexOf(":" + leaf);
            text = text.substring(0, at + 1) + dice.of("77", "\"vpxd\"", "[]", "{}", "[[88]]") + text.substring(at + 1 + leaf.length());
        }
        return new Case(Json.tree(pattern), text);
    }

    private static void grow(Dice dice, Map<String, Object> event, Map<String, Object> pattern, int depth) {
        List<String> names = List.of("a", "b", "c", "Vm", "Host", "detail");
        for (int i = dice.between(1, 3); i > 0; i--) {
            String name = dice.of(names);
            if (event.containsKey(name)) {
                continue;
            }
            if (depth > 0 && dice.percent(50)) {
                Map<String, Object> inner = new LinkedHashMap<>();
                Map<String, Object> fields = new LinkedHashMap<>();
                grow(dice, inner, fields, depth - 1);
                event.put(name, inner);
                pattern.put(name, fields);
            } else {
                String[] met = dice.of(MET);
                event.put(name, met[1]);
                pattern.put(name, Json.list(dice.percent(75) ? met[0] : met[0] + "," + dice.of("\"q\"", "99", "{\"suffix\":\"zz\"}")));
            }
        }
        if (event.isEmpty()) {
            event.put("a", "1");
            pattern.put("a", "[1]");
        }
        if (dice.percent(30)) {
            event.put("more", dice.of("1", "{\"a\":1}", "[{\"b\":[]}]"));
        }
    }

    private static void leaves(Object tree, List<String> leaves) {
        if (tree instanceof Map<?, ?> map) {
            map.values().forEach(value -> leaves(value, leaves));
        } else {
            leaves.add((String) tree);
        }
    }

    // --- keys ---

    private static final String[] KEYS = {"a", "b", "a.b", "a.", ".a", ".", "..", "", "é", "日本", "😀", "$or", "prefix", "A",
        "$", "a b", "\"", "\\", "a\u0000", "exists", "b.a", "a.b.c", "c"};

    private static Case keys(Dice dice) {
        List<String> path = new ArrayList<>();
        for (int i = dice.of(1, 2, 2, 3); i > 0; i--) {
            path.add(dice.of(KEYS));
        }
        List<String> other = new ArrayList<>(path);
        int how = dice.below(10);
        if (how < 3) {
            other = new ArrayList<>(List.of(String.join(".", path).split("\\.", dice.of(-1, 0, 2))));
        } else if (how < 5) {
            other.set(dice.below(other.size()), dice.of(KEYS));
        } else if (how < 6) {
            other.add(dice.below(other.size() + 1), dice.of("", "a", "."));
        }
        if (other.isEmpty()) {
            other.add("");
        }
        String pattern = at(dice, path, "[1]");
        String event = at(dice, other, "1");
        if (dice.percent(25)) {
            // A key twice: the pattern's last one counts, all of the event's do.
            String list = dice.of("[1]", "[2]", "[1,2]");
            String value = dice.of("1", "2", "[1]", "{}", "null");
            String key = path.get(0);
            if (path.size() == 1) {
                boolean first = dice.percent(50);
                pattern = "{" + member(dice, key, first ? list : "[1]") + "," + member(dice, key, first ? "[1]" : list) + "}";
            }
            if (other.size() == 1) {
                boolean first = dice.percent(50);
                event = "{" + member(dice, other.get(0), first ? value : "1") + "," + member(dice, other.get(0), first ? "1" : value) + "}";
            }
        }
        if (dice.percent(20)) {
            String key = dice.of("z", "", "b");
            if (!path.get(0).equals(key)) {
                pattern = pattern.substring(0, pattern.length() - 1) + "," + member(dice, key, "[1]") + "}";
                event = event.substring(0, event.length() - 1) + "," + member(dice, key, "1") + "}";
            }
        }
        return new Case(pattern, event);
    }

    private static String member(Dice dice, String key, String value) {
        return Json.string(key, dice.percent(20) ? dice : null) + ":" + value;
    }

    private static String at(Dice dice, List<String> path, String value) {
        return path.stream().map(key -> "{" + Json.string(key, dice.percent(15) ? dice : null) + ":").collect(Collectors.joining())
                + value + "}".repeat(path.size());
    }
}
