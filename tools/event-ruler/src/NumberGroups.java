import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Groups about numbers. */
final class NumberGroups {
    private static final List<String> SIMPLE = List.of("0", "1", "-1", "2", "7", "10", "42", "100", "443", "1234", "0.1",
            "0.5", "1.5", "-0.25", "3.14", "99.99", "-17", "1000000");
    /** Where event-ruler's idea of a comparable number ends, and numbers at both sides. */
    private static final List<String> EDGES = List.of("9007199254740991", "9007199254740992", "9007199254740993",
            "9007199254740994", "-9007199254740993", "9223372036854775807", "9223372036854775808", "9223372036854776000",
            "18446744073709551615", "12345678901234567", "123456789012345678", "12345678901234567890123", "1e21", "1e22",
            "1e23", "1e308", "1.7976931348623157e308", "1.7976931348623158e308", "1.8e308", "1e309", "-1e309", "1e-300",
            "2.2250738585072014e-308", "2.2250738585072011e-308", "1e-323", "1e-324", "1e-400", "0e400", "0e-400",
            "0.1000000000000000055511151231257827", "0.30000000000000004", "0.3", "0.123456789012345678",
            "1.0000000000000001", "1.0000000000000002", "5000000000.000001", "5000000000.0000001", "123456789012",
            "4294967295", "4294967296", "2147483648", "1.1", "1.10000000000000009");

    private NumberGroups() {}

    static void addTo(Map<String, Function<Dice, Case>> groups) {
        groups.put("exact-number", NumberGroups::exact);
        groups.put("numeric", NumberGroups::numeric);
    }

    static String simple(Dice dice) {
        if (dice.percent(80)) {
            return dice.of(SIMPLE);
        }
        String number;
        do {
            number = number(dice);
        } while (!comparable(number) || !sturdy(number)); // else operators do not take it
        return number;
    }

    private static String number(Dice dice) {
        return switch (dice.below(4)) {
            case 0 -> String.valueOf(dice.between(-20, 20));
            case 1 -> BigDecimal.valueOf(dice.between(-5000, 5000), dice.between(0, 4)).toPlainString();
            case 2 -> String.valueOf(dice.bits() >> dice.between(16, 40));
            default -> BigDecimal.valueOf(dice.between(-999, 999), dice.between(-20, 20)).toString().replace("E+", "e");
        };
    }

    /** The same number, written in another way. */
    static String spelled(Dice dice, String text) {
        BigDecimal number = new BigDecimal(text);
        if (Math.abs((long) number.scale()) > 40) {
            return dice.of(text, text.replace('e', 'E'), text.replaceFirst("^(-?\\d+)e", "$1.0e"));
        }
        return switch (dice.below(8)) {
            case 0 -> number.setScale(Math.max(0, number.scale()) + dice.between(1, 3)).toPlainString();
            case 1 -> number.stripTrailingZeros().toPlainString();
            case 2 -> exponent(dice, number, dice.between(-3, 3));
            case 3 -> exponent(dice, number.stripTrailingZeros(), 0);
            case 4 -> number.signum() == 0 ? dice.of("-0", "0.0", "-0.0", "0e7", "-0E-3") : number.toPlainString();
            default -> text;
        };
    }

    private static String exponent(Dice dice, BigDecimal number, int shift) {
        BigDecimal digits = number.movePointRight(shift);
        return digits.toPlainString() + dice.of("e", "E") + (shift <= 0 ? dice.of("", "+") : "-") + Math.abs(shift);
    }

    /** A little more or less, in the last place or in one that doubles do not have. */
    private static String near(Dice dice, String text) {
        BigDecimal number = new BigDecimal(text);
        if (Math.abs((long) number.scale()) > 40) {
            return dice.of("0", "-" + text.replace("-", ""), "1e300", "-1e300");
        }
        BigDecimal step = BigDecimal.valueOf(dice.of(1, -1), dice.percent(70) ? number.scale() : number.scale() + dice.between(1, 17));
        BigDecimal moved = number.add(step);
        return dice.percent(10) ? number.negate().toPlainString() : moved.toPlainString();
    }

    /**
     * Whether the number is comparable hangs on Java's shortest decimal for it,
     * and that was not always the shortest before Java 19. Such numbers are not for tests.
     */
    private static boolean sturdy(String text) {
        BigDecimal number = new BigDecimal(text);
        double rounded = number.doubleValue();
        if (Double.isInfinite(rounded)) {
            return true;
        }
        BigDecimal exact = new BigDecimal(rounded);
        for (int digits = 1; digits <= 17; digits++) {
            BigDecimal shorter = exact.round(new MathContext(digits));
            if (shorter.doubleValue() == rounded) {
                return (shorter.compareTo(number) == 0) == (BigDecimal.valueOf(rounded).compareTo(number) == 0);
            }
        }
        return true;
    }

    private static boolean comparable(String text) {
        BigDecimal number = new BigDecimal(text);
        double rounded = number.doubleValue();
        return !Double.isInfinite(rounded) && BigDecimal.valueOf(rounded).compareTo(number) == 0;
    }

    private static String value(Dice dice, String number) {
        int how = dice.below(100);
        if (how < 84) {
            return number;
        }
        if (how < 89) {
            return Json.string(number);
        }
        if (how < 93) {
            return Json.list(dice.of("987654", "\"x\"", "null"), number);
        }
        if (how < 97) {
            return Json.list(Json.list(number), "{}");
        }
        return dice.of("null", "true", "[]", "{}", null, "\"\"");
    }

    private static Case exact(Dice dice) {
        while (true) {
            List<String> numbers = new ArrayList<>();
            for (int i = dice.of(1, 1, 1, 2, 3); i > 0; i--) {
                String text = dice.percent(45) ? dice.of(EDGES) : simple(dice);
                numbers.add(dice.percent(40) ? spelled(dice, text) : text);
            }
            String number = dice.of(numbers);
            String other = dice.percent(60) ? spelled(dice, number) : dice.percent(30) ? dice.of(EDGES) : near(dice, number);
            if (sturdy(other) && numbers.stream().allMatch(NumberGroups::sturdy)) {
                return Scene.any(dice).with(Json.list(numbers), value(dice, other));
            }
        }
    }

    private static String bound(Dice dice) {
        while (true) {
            String text = dice.percent(30) ? dice.of(EDGES) : simple(dice);
            if (comparable(text) && sturdy(text) && Math.abs(new BigDecimal(text).doubleValue()) < 1.7e308) {
                return dice.percent(30) ? spelled(dice, text) : text;
            }
        }
    }

    private static Case numeric(Dice dice) {
        while (true) {
            List<String> bounds = new ArrayList<>(List.of(bound(dice)));
            String condition;
            if (dice.percent(55)) {
                condition = Json.list(Json.string(dice.of("=", "<", "<=", ">", ">=")), bounds.get(0));
            } else {
                String top = dice.percent(40) ? near(dice, bounds.get(0)) : bound(dice);
                if (new BigDecimal(top).compareTo(new BigDecimal(bounds.get(0))) <= 0 || !comparable(top) || !sturdy(top)) {
                    continue;
                }
                bounds.add(top);
                condition = Json.list(Json.string(dice.of(">", ">=")), bounds.get(0), Json.string(dice.of("<", "<=")), top);
            }
            String bound = dice.of(bounds);
            String number = dice.percent(35) ? spelled(dice, bound)
                    : dice.percent(50) ? near(dice, bound)
                    : dice.percent(30) ? dice.of(EDGES) : simple(dice);
            if (!sturdy(number)) {
                continue;
            }
            String operator = TextGroups.operator("numeric", condition);
            String list = dice.percent(85) ? Json.list(operator)
                    : Json.list(operator, dice.of("\"x\"", "{\"prefix\":\"x\"}", "{\"numeric\":[\"=\",-77]}", "-77", "null"));
            return Scene.any(dice).with(list, value(dice, number));
        }
    }
}
