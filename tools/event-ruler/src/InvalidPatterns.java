import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Patterns that are wrong in every way that there is; the judge sorts out those that are not. */
final class InvalidPatterns {
    private InvalidPatterns() {}

    /** Elements of a field's list that make the pattern invalid. */
    private static final String[] ELEMENTS = {
        // no operator
        "[]", "[1]", "[\"a\"]", "{}", "{\"\":1}", "{\"a\":1}", "{\"equals\":\"a\"}", "{\"Prefix\":\"a\"}", "{\"$or\":[1,2]}",
        "{\"regex\":\"a\"}", "{\"not\":\"a\"}", "{\"=\":1}", "{\"<\":1}", "{\"in\":[1]}", "{\"equals_ignore_case\":\"a\"}",
        "{\"not-wildcard\":\"a*\"}", "{\"date-after\":\"2024-01-01\"}", "{\"ip-address-in-range\":\"10.0.0.0/8\"}", "{\"numeric \":[\"=\",1]}",
        // more than one operator
        "{\"prefix\":\"a\",\"suffix\":\"b\"}", "{\"prefix\":\"a\",\"prefix\":\"a\"}", "{\"exists\":true,\"prefix\":\"a\"}",
        "{\"numeric\":[\"=\",1],\"exists\":true}", "{\"cidr\":\"10.0.0.0/8\",\"cidr\":\"10.0.0.0/8\"}", "{\"wildcard\":\"a*\",\"x\":1}",
        "{\"anything-but\":1,\"exists\":true}", "{\"anything-but\":[1],\"exists\":true}", "{\"equals-ignore-case\":\"a\",\"b\":1}", "{\"exactly\":\"a\",\"b\":1}",
        // an argument of the wrong type
        "{\"exactly\":1}", "{\"exactly\":null}", "{\"exactly\":[\"a\"]}", "{\"exactly\":{}}", "{\"exactly\":true}",
        "{\"prefix\":1}", "{\"prefix\":null}", "{\"prefix\":true}", "{\"prefix\":[\"a\"]}", "{\"prefix\":[]}", "{\"prefix\":{}}",
        "{\"prefix\":{\"prefix\":\"a\"}}", "{\"prefix\":{\"suffix\":\"a\"}}", "{\"prefix\":{\"equals-ignore-case\":1}}",
        "{\"prefix\":{\"equals-ignore-case\":[\"a\"]}}", "{\"prefix\":{\"equals-ignore-case\":\"a\",\"x\":1}}", "{\"prefix\":{\"equals-ignore-case\":\"a\"},\"x\":1}",
        "{\"prefix\":{\"anything-but\":\"a\"}}", "{\"prefix\":{\"equals-ignore-case\":{}}}", "{\"prefix\":{\"wildcard\":\"a*\"}}",
        "{\"suffix\":1}", "{\"suffix\":null}", "{\"suffix\":false}", "{\"suffix\":[\"a\"]}", "{\"suffix\":{}}", "{\"suffix\":{\"suffix\":\"a\"}}",
        "{\"suffix\":{\"prefix\":\"a\"}}", "{\"suffix\":{\"equals-ignore-case\":null}}", "{\"suffix\":{\"equals-ignore-case\":\"a\",\"x\":1}}",
        "{\"suffix\":{\"equals-ignore-case\":\"a\"},\"x\":1}", "{\"suffix\":{\"equals-ignore-case\":[\"a\"]}}",
        "{\"equals-ignore-case\":1}", "{\"equals-ignore-case\":null}", "{\"equals-ignore-case\":[\"a\"]}", "{\"equals-ignore-case\":{\"prefix\":\"a\"}}", "{\"equals-ignore-case\":true}",
        "{\"exists\":\"true\"}", "{\"exists\":1}", "{\"exists\":0}", "{\"exists\":null}", "{\"exists\":[true]}", "{\"exists\":{}}", "{\"exists\":\"\"}",
        "{\"wildcard\":1}", "{\"wildcard\":null}", "{\"wildcard\":[\"a*\"]}", "{\"wildcard\":{}}", "{\"wildcard\":{\"equals-ignore-case\":\"a*\"}}",
        // wildcards
        "{\"wildcard\":\"**\"}", "{\"wildcard\":\"a**b\"}", "{\"wildcard\":\"a***\"}", "{\"wildcard\":\"a\\\\\"}", "{\"wildcard\":\"\\\\\"}", "{\"wildcard\":\"a\\\\b\"}",
        "{\"wildcard\":\"\\\\n\"}", "{\"wildcard\":\"*\\\\\"}", "{\"wildcard\":\"\\\\\\\\\\\\\"}", "{\"wildcard\":\"\\\\?\"}", "{\"wildcard\":\"\\\\***\"}", "{\"wildcard\":\"\\u002a\\u002a\"}",
        "{\"wildcard\":\"VSPHERE.LOCAL\\\\Administrator*\"}", "{\"wildcard\":\"*\\\\\\\"\"}", "{\"wildcard\":\"\u00e9**\"}",
        // numeric
        "{\"numeric\":1}", "{\"numeric\":\"=\"}", "{\"numeric\":{}}", "{\"numeric\":null}", "{\"numeric\":[]}", "{\"numeric\":[1]}", "{\"numeric\":[\"=\"]}", "{\"numeric\":[\"<\"]}",
        "{\"numeric\":[\">=\"]}", "{\"numeric\":[\"==\",1]}", "{\"numeric\":[\"!=\",1]}", "{\"numeric\":[\"<>\",1]}", "{\"numeric\":[\"=<\",1]}", "{\"numeric\":[\"\",1]}", "{\"numeric\":[\" =\",1]}",
        "{\"numeric\":[\"=\",\"1\"]}", "{\"numeric\":[\"=\",null]}", "{\"numeric\":[\"=\",true]}", "{\"numeric\":[\"=\",[1]]}", "{\"numeric\":[\"=\",{}]}", "{\"numeric\":[\">\",\"1\"]}",
        "{\"numeric\":[\"<\",\"1\"]}", "{\"numeric\":[\"<=\",null]}", "{\"numeric\":[\">=\",false]}", "{\"numeric\":[1,\"=\"]}", "{\"numeric\":[null,1]}", "{\"numeric\":[\"=\",1,2]}",
        "{\"numeric\":[\"=\",1,\"=\",1]}", "{\"numeric\":[\"=\",1,\"<\",2]}", "{\"numeric\":[\"<\",1,\">\",0]}", "{\"numeric\":[\"<=\",1,\">=\",0]}", "{\"numeric\":[\"<\",1,\"<\",2]}",
        "{\"numeric\":[\">\",1,\">\",2]}", "{\"numeric\":[\">\",1,\">=\",2]}", "{\"numeric\":[\">=\",1,\"=\",2]}", "{\"numeric\":[\">\",1,2]}", "{\"numeric\":[\">\",1,\"<\"]}",
        "{\"numeric\":[\">\",1,\"<\",\"2\"]}", "{\"numeric\":[\">\",1,\"<\",null]}", "{\"numeric\":[\">\",1,\"<\",2,3]}", "{\"numeric\":[\">\",1,\"<\",2,\"<\",3]}", "{\"numeric\":[\">\",1,null,2]}",
        "{\"numeric\":[\">\",2,\"<\",2]}", "{\"numeric\":[\">=\",2,\"<=\",2]}", "{\"numeric\":[\">\",2,\"<=\",2.0]}", "{\"numeric\":[\">=\",3,\"<\",2]}", "{\"numeric\":[\">\",-1,\"<\",-2]}",
        "{\"numeric\":[\">\",0,\"<\",-0]}", "{\"numeric\":[\">\",1e3,\"<\",1000]}", "{\"numeric\":[\">\",0.1,\"<=\",0.01]}", "{\"numeric\":[\">\",1e300,\"<\",-1e300]}",
        "{\"numeric\":[\"=\",9007199254740993]}", "{\"numeric\":[\">\",9223372036854775807]}", "{\"numeric\":[\"<\",123456789012345678901]}", "{\"numeric\":[\"=\",1e309]}",
        "{\"numeric\":[\">=\",-1e309]}", "{\"numeric\":[\"<=\",1e-400]}", "{\"numeric\":[\"=\",0.1000000000000000055511151231257827]}", "{\"numeric\":[\">\",1,\"<\",9007199254740993]}",
        "{\"numeric\":[\">\",9007199254740993,\"<\",1e17]}", "{\"numeric\":[\">\",0,\"<=\",1e309]}", "{\"numeric\":[\">\",1.7976931348623157e308]}",
        "{\"numeric\":[\">=\",1.7976931348623157e308]}", "{\"numeric\":[\"<\",-1.7976931348623157e308]}", "{\"numeric\":[\"<=\",-1.7976931348623157e308]}", "{\"numeric\":[\"=\",1],\"x\":2}",
        // anything-but
        "{\"anything-but\":[]}", "{\"anything-but\":null}", "{\"anything-but\":true}", "{\"anything-but\":false}", "{\"anything-but\":{}}", "{\"anything-but\":[null]}", "{\"anything-but\":[true]}",
        "{\"anything-but\":[1,\"a\"]}", "{\"anything-but\":[\"a\",1]}", "{\"anything-but\":[\"a\",null]}", "{\"anything-but\":[1,false]}", "{\"anything-but\":[[1]]}", "{\"anything-but\":[{}]}",
        "{\"anything-but\":[{\"prefix\":\"a\"}]}", "{\"anything-but\":[\"a\",{\"prefix\":\"a\"}]}", "{\"anything-but\":{\"exists\":true}}", "{\"anything-but\":{\"numeric\":[\"=\",1]}}",
        "{\"anything-but\":{\"cidr\":\"10.0.0.0/8\"}}", "{\"anything-but\":{\"anything-but\":1}}", "{\"anything-but\":{\"exactly\":\"a\"}}", "{\"anything-but\":{\"x\":\"a\"}}",
        "{\"anything-but\":{\"prefix\":\"\"}}", "{\"anything-but\":{\"prefix\":[\"\"]}}", "{\"anything-but\":{\"prefix\":[\"a\",\"\"]}}", "{\"anything-but\":{\"suffix\":\"\"}}", "{\"anything-but\":{\"suffix\":[\"\",\"a\"]}}",
        "{\"anything-but\":{\"prefix\":1}}", "{\"anything-but\":{\"prefix\":null}}", "{\"anything-but\":{\"prefix\":[1]}}", "{\"anything-but\":{\"prefix\":[\"a\",1]}}", "{\"anything-but\":{\"prefix\":[null]}}",
        "{\"anything-but\":{\"prefix\":{\"equals-ignore-case\":\"a\"}}}", "{\"anything-but\":{\"prefix\":[]}}", "{\"anything-but\":{\"suffix\":[]}}", "{\"anything-but\":{\"wildcard\":[]}}", "{\"anything-but\":{\"equals-ignore-case\":[]}}",
        "{\"anything-but\":{\"suffix\":true}}", "{\"anything-but\":{\"suffix\":{}}}", "{\"anything-but\":{\"suffix\":[[\"a\"]]}}", "{\"anything-but\":{\"equals-ignore-case\":1}}", "{\"anything-but\":{\"equals-ignore-case\":[1]}}",
        "{\"anything-but\":{\"equals-ignore-case\":[\"a\",null]}}", "{\"anything-but\":{\"equals-ignore-case\":null}}", "{\"anything-but\":{\"equals-ignore-case\":{}}}", "{\"anything-but\":{\"wildcard\":1}}",
        "{\"anything-but\":{\"wildcard\":[1]}}", "{\"anything-but\":{\"wildcard\":\"**\"}}", "{\"anything-but\":{\"wildcard\":[\"a*\",\"a**\"]}}", "{\"anything-but\":{\"wildcard\":\"a\\\\b\"}}", "{\"anything-but\":{\"wildcard\":[\"a\\\\\"]}}",
        "{\"anything-but\":{\"wildcard\":null}}", "{\"anything-but\":{\"wildcard\":[null]}}", "{\"anything-but\":{\"prefix\":\"a\",\"suffix\":\"b\"}}", "{\"anything-but\":{\"prefix\":[\"a\"],\"x\":1}}", "{\"anything-but\":{\"prefix\":\"a\"},\"x\":1}",
        "{\"anything-but\":9007199254740993}", "{\"anything-but\":[1,9007199254740993]}", "{\"anything-but\":1e309}", "{\"anything-but\":[1e-400]}", "{\"anything-but\":{\"wildcard\":\"a*\"},\"x\":1}",
        // addresses
        "{\"cidr\":1}", "{\"cidr\":null}", "{\"cidr\":[\"10.0.0.0/8\"]}", "{\"cidr\":{}}", "{\"cidr\":\"\"}", "{\"cidr\":\"10.0.0.0\"}", "{\"cidr\":\"10.0.0.0/\"}", "{\"cidr\":\"/8\"}", "{\"cidr\":\"/\"}",
        "{\"cidr\":\"10.0.0.0/32\"}", "{\"cidr\":\"10.0.0.0/33\"}", "{\"cidr\":\"10.0.0.0/-1\"}", "{\"cidr\":\"10.0.0.0/a\"}", "{\"cidr\":\"10.0.0.0/8.0\"}", "{\"cidr\":\"10.0.0.0/ 8\"}", "{\"cidr\":\"10.0.0.0/8 \"}",
        "{\"cidr\":\"10.0.0.0//8\"}", "{\"cidr\":\"10.0.0.0/8/9\"}", "{\"cidr\":\"10.0.0/8\"}", "{\"cidr\":\"10.0.0.0.0/8\"}", "{\"cidr\":\"10.0.0.256/8\"}", "{\"cidr\":\"10.0.0.a/8\"}", "{\"cidr\":\" 10.0.0.0/8\"}",
        "{\"cidr\":\"10.0.0.0/255.0.0.0\"}", "{\"cidr\":\"10.0.0.0/99999999999\"}", "{\"cidr\":\"::/128\"}", "{\"cidr\":\"::1/129\"}", "{\"cidr\":\"::/-1\"}", "{\"cidr\":\"::\"}", "{\"cidr\":\":/8\"}", "{\"cidr\":\"::g/8\"}",
        "{\"cidr\":\"1::2::3/8\"}", "{\"cidr\":\"12345::/8\"}", "{\"cidr\":\"1:2:3:4:5:6:7/8\"}", "{\"cidr\":\"1:2:3:4:5:6:7:8:9/8\"}", "{\"cidr\":\"::ffff:10.0.0.0/8\"}", "{\"cidr\":\"::ffff:a00:0/104\"}", "{\"cidr\":\"fe80::1%eth0/64\"}",
        "{\"cidr\":\"[::]/8\"}", "{\"cidr\":\"localhost/8\"}", "{\"cidr\":\"0000000010.0.0.0/8\"}", "{\"cidr\":\"10.0.0.0\\\\8\"}", "{\"cidr\":\"0x0a.0.0.0/8\"}", "{\"cidr\":\"::/\"}"};

    /** What stands where a field's list should be. */
    private static final String[] FIELDS = {"1", "\"a\"", "true", "false", "null", "-1.5", "[]", "{}", "{\"a\":1}", "{\"a\":\"b\"}", "{\"a\":null}", "{\"a\":[]}", "{\"a\":{}}",
        "{\"a\":{\"b\":{}}}", "{\"a\":[1],\"b\":{}}", "{\"prefix\":\"a\"}", "{\"exists\":true}", "{\"numeric\":{}}", "{\"anything-but\":\"a\"}"};

    /** What stands behind `$or`. */
    private static final String[] ORS = {"1", "\"a\"", "null", "true", "{}", "[]", "{\"a\":1}", "[{}]", "[{\"a\":[1]}]", "[{},{}]", "[{\"a\":[1]},{}]", "[{},{\"a\":[1]}]", "[{\"a\":[1]},1]",
        "[{\"a\":[1]},\"b\"]", "[{\"a\":[1]},null]", "[{\"a\":[1]},[{\"b\":[1]}]]", "[[{\"a\":[1]}],[{\"b\":[1]}]]", "[{\"a\":1},{\"b\":[1]}]", "[{\"a\":[1]},{\"b\":1}]", "[{\"a\":[]},{\"b\":[1]}]",
        "[{\"a\":{}},{\"b\":[1]}]", "[{\"a\":[1]},{\"prefix\":[1]}]", "[{\"a\":[1]},{\"suffix\":[1]}]", "[{\"a\":[1]},{\"numeric\":[1]}]", "[{\"a\":[1]},{\"exists\":[1]}]", "[{\"a\":[1]},{\"cidr\":[1]}]",
        "[{\"a\":[1]},{\"wildcard\":[1]}]", "[{\"a\":[1]},{\"exactly\":[1]}]", "[{\"a\":[1]},{\"anything-but\":[1]}]", "[{\"a\":[1]},{\"equals-ignore-case\":[1]}]", "[{\"a\":[1]},{\"=\":[1]}]", "[{\"<\":[1]},{\"a\":[1]}]",
        "[{\"<=\":[1]},{\"a\":[1]}]", "[{\">\":[1]},{\"a\":[1]}]", "[{\">=\":[1]},{\"a\":[1]}]", "[{\"regex\":[1]},{\"a\":[1]}]", "[{\"not-wildcard\":[1]},{\"a\":[1]}]", "[{\"not-equals-ignore-case\":[1]},{\"a\":[1]}]",
        "[{\"date-after\":[1]},{\"a\":[1]}]", "[{\"date-on-or-after\":[1]},{\"a\":[1]}]", "[{\"date-before\":[1]},{\"a\":[1]}]", "[{\"date-on-or-before\":[1]},{\"a\":[1]}]", "[{\"in-date-range\":[1]},{\"a\":[1]}]",
        "[{\"ip-address-in-range\":[1]},{\"a\":[1]}]", "[{\"ip-address-not-in-range\":[1]},{\"a\":[1]}]", "[{\"a\":{\"prefix\":[1]}},{\"b\":[1]}]", "[{\"a\":{\"b\":{\"cidr\":[1]}}},{\"b\":[1]}]",
        "[{\"a\":[1]},{\"$or\":[{\"b\":[1]}]}]", "[{\"a\":[1]},{\"$or\":[]}]", "[{\"a\":[1]},{\"$or\":[{\"b\":[1]},{\"<\":[1]}]}]", "[{\"a\":[1]},{\"b\":{\"$or\":[1,2]}}]", "{\"a\":{}}", "[{\"a\":[1]},{\"prefix\":\"x\"}]",
        "[{\"prefix\":\"x\"},{\"a\":[1]}]", "[{\"a\":[{\"prefix\":1}]},{\"b\":[1]}]", "[{\"a\":[1]},{\"b\":[[1]]}]"};

    /** No object, or no JSON. */
    private static final String[] TEXTS = {"", " ", "null", "true", "1", "\"a\"", "[]", "[{\"a\":[1]}]", "{}", "{ }", "{", "{\"a\"", "{\"a\":", "{\"a\":[", "{\"a\":[1", "{\"a\":[1]", "{\"a\":[1],", "{\"a\":[1],}",
        "{\"a\":[1,]}", "{\"a\":[,1]}", "{\"a\":[1 2]}", "{\"a\" [1]}", "{\"a\":[1]]", "{\"a\":{\"b\":[1]}", "{\"a\":[\"b]}", "{\"a\":[tru]}", "{\"a\":[TRUE]}", "{\"a\":[nul]}", "{\"a\":[undefined]}", "{\"a\":[01]}", "{\"a\":[-]}",
        "{\"a\":[1.]}", "{\"a\":[.5]}", "{\"a\":[1e]}", "{\"a\":[1e+]}", "{\"a\":[+1]}", "{\"a\":[0x10]}", "{\"a\":[--1]}", "{\"a\":[\"\\x\"]}", "{\"a\":[\"\\u12\"]}", "{\"a\":[\"\\u12g4\"]}", "{\"a\":[\"\t\"]}", "{\"a\":[\"\n\"]}",
        "{\"a\":[{\"numeric\":[\"=\",01]}]}", "{\"a\":[{\"numeric\":[\"=\",1.]}]}", "{\"a\":[{\"numeric\":[\"=\",1}]}", "{\"a\":[{\"prefix\":\"a\"]}", "{\"a\":[{\"prefix\"}]}", "{\"a\":[{\"prefix\":}]}", "{\"a\":[{\"prefix\":\"a\"},]}", "{1:[1]}",
        "{\"a\":[1]:[2]}", "{\"$or\":[{\"a\":[1]},{\"b\":[1]}", "{\"$or\":[{\"a\":[1]},{\"b\":[1]},]}", "{,\"a\":[1]}"};

    static Case make(Dice dice, int round) {
        int[] sizes = {ELEMENTS.length, FIELDS.length, ORS.length, TEXTS.length};
        // First everything once as it is, then in random surroundings.
        int at = round;
        for (int kind = 0; kind < sizes.length; kind++) {
            if (at < sizes[kind]) {
                return new Case(plain(kind, at), event(dice));
            }
            at -= sizes[kind];
        }
        int how = dice.below(100);
        String pattern;
        if (how < 10) {
            pattern = tooWide(dice);
        } else if (how < 35) {
            pattern = torn(dice);
        } else if (how < 50) {
            pattern = surrounded(dice, "\"$or\":" + dice.of(ORS));
        } else if (how < 58) {
            pattern = surrounded(dice, "\"bad\":" + dice.of(FIELDS));
        } else {
            String element = dice.of(ELEMENTS);
            String list = switch (dice.below(4)) {
                case 0 -> Json.list(element);
                case 1 -> Json.list("1", element);
                case 2 -> Json.list(element, "\"x\"");
                default -> Json.list(element, dice.of(ELEMENTS));
            };
            pattern = surrounded(dice, "\"bad\":" + list);
        }
        return new Case(pattern, event(dice));
    }

    private static String plain(int kind, int at) {
        return switch (kind) {
            case 0 -> "{\"a\":[" + ELEMENTS[at] + "]}";
            case 1 -> "{\"a\":" + FIELDS[at] + "}";
            case 2 -> "{\"$or\":" + ORS[at] + "}";
            default -> TEXTS[at];
        };
    }

    /** More names than a rule may have, or by a branch more. Seldom: they are long. */
    private static String tooWide(Dice dice) {
        if (!dice.percent(1)) {
            return "{\"a\":[{\"" + dice.string("abcdefghij-", 3, 9) + "\":" + dice.of("1", "\"a\"", "[\"a\"]", "[\"=\",1]", "true") + "}]}";
        }
        StringBuilder names = new StringBuilder();
        for (int i = 0; i < 256; i++) {
            names.append("\"n").append(i).append("\":[1],");
        }
        return "{" + names + dice.of("\"x\":[1]", "\"$or\":[{\"x\":[1]},{\"y\":[1]}]", "\"x\":{\"y\":[1]}") + "}";
    }

    /** The bad field somewhere in a pattern that is good without it. */
    private static String surrounded(Dice dice, String bad) {
        String pattern = switch (dice.below(6)) {
            case 0 -> "{" + bad + "}";
            case 1 -> "{\"source\":[\"vcenter.corp.local\"]," + bad + "}";
            case 2 -> "{" + bad + ",\"a\":[1,{\"prefix\":\"x\"}]}";
            case 3 -> "{\"$or\":[{\"a\":[1]},{" + bad + "}]}";
            case 4 -> "{\"b\":[{\"exists\":false}],\"c\":{\"a\":[true]," + bad + "}}";
            default -> "{\"detail-type\":[\"VmPoweredOnEvent\"],\"detail\":{\"data\":{" + bad + "}}}";
        };
        String name = dice.of("a", "b", "Vm", "Name", "x.y", "");
        return pattern.replace("\"bad\"", Json.string(name));
    }

    /** A good pattern with one character less or another. */
    private static String torn(Dice dice) {
        List<Function<Dice, Case>> groups = new ArrayList<>();
        Map<String, Function<Dice, Case>> all = new LinkedHashMap<>();
        TextGroups.addTo(all);
        NumberGroups.addTo(all);
        StructureGroups.addTo(all);
        all.forEach((name, make) -> {
            // Half a surrogate pair, or a control character, would be about JSON alone.
            if (!name.equals("unicode") && !name.equals("keys")) {
                groups.add(make);
            }
        });
        String pattern = dice.of(groups).apply(dice).pattern();
        if (pattern.length() > 300) {
            pattern = "{\"detail\":{\"Vm\":[\"x\",5,{\"numeric\":[\">\",1,\"<=\",2]}]}}";
        }
        int at = dice.below(pattern.length());
        return switch (dice.below(5)) {
            case 0 -> pattern.substring(0, at);
            case 1 -> pattern.substring(0, at) + pattern.substring(at + 1);
            case 2 -> pattern.substring(0, at) + dice.of("{", "}", "[", "]", ",", ":", "\"", "1") + pattern.substring(at);
            case 3 -> pattern.substring(0, at) + dice.of("{", "}", "[", "]", ",", ":", "null") + pattern.substring(at + 1);
            default -> pattern.replace("true", "1").replace("[1]", "1").replace("\"x\"", "{}").replace("[\"", "[[\"");
        };
    }

    private static String event(Dice dice) {
        return dice.of("{\"a\":1}", "{\"a\":\"a\"}", "{\"a\":{\"b\":1}}", "{\"$or\":1,\"b\":1}", "{\"detail\":{\"data\":{\"Vm\":\"x\"}}}");
    }
}
