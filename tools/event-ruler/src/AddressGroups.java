import java.math.BigInteger;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** Groups about IP addresses. */
final class AddressGroups {
    private AddressGroups() {}

    static void addTo(Map<String, Function<Dice, Case>> groups) {
        groups.put("cidr", AddressGroups::cidr);
    }

    private static final String[] NO_ADDRESS = {"10.0.0", "10.0.0.1.1", "10.0.0.256", "10.0.0.0/8", "10.0.0.-1", " 10.0.0.1",
        "10.0.0.1 ", "10.0.0.a", "", ":", ":::", "1::2::3", "12345::", "::g", "[::1]", "fe80::1%eth0", "::ffff:10.0.0.1",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "localhost", "vcenter.corp.local", "0x0a.0.0.1", "0000000010.0.0.1", "10..0.1"};

    /** An address family is the number of bits that its addresses have. */
    private static Case cidr(Dice dice) {
        int bits = dice.percent(60) ? 32 : 128;
        BigInteger base = bits == 32 ? v4(dice) : v6(dice);
        boolean single = dice.percent(12);
        int mask = single ? bits : dice.percent(30) ? dice.of(0, 1, 7, 8, 9, 16, 24, 31, bits - 1) : dice.below(bits);
        BigInteger other = base;
        boolean outside = mask > 0 && dice.percent(45);
        if (outside) {
            other = other.flipBit(bits - 1 - (dice.percent(50) ? mask - 1 : dice.below(mask)));
        }
        if (mask < bits && dice.percent(80)) {
            int free = bits - mask;
            BigInteger low = BigInteger.ONE.shiftLeft(free).subtract(BigInteger.ONE);
            BigInteger chosen = dice.percent(25) ? BigInteger.ZERO : dice.percent(30) ? low : random(dice, free);
            other = other.andNot(low).or(chosen);
        }
        String list = single ? Json.list(Json.string(text(dice, base, bits)))
                : Json.list(TextGroups.operator("cidr", Json.string(text(dice, base, bits) + "/" + mask(dice, mask))));
        if (dice.percent(10)) {
            list = list.replace("]", dice.of(",\"x\"]", ",{\"cidr\":\"192.0.2.0/24\"}]", ",\"192.0.2.77\"]", ",{\"prefix\":\"y\"}]"));
        }
        String value = Json.string(text(dice, other, bits));
        if (dice.percent(8)) {
            value = dice.percent(80) ? Json.string(dice.of(NO_ADDRESS)) : dice.of("null", "[]", "true", "{}", null);
        } else if (dice.percent(10)) {
            value = Json.list(Json.string(dice.of(NO_ADDRESS)), value);
        }
        return Scene.any(dice).with(list, value);
    }

    private static String mask(Dice dice, int mask) {
        return dice.percent(97) ? String.valueOf(mask) : dice.of("0", "+", "00") + mask;
    }

    private static BigInteger random(Dice dice, int bits) {
        BigInteger number = BigInteger.ZERO;
        for (int i = 0; i < bits; i += 32) {
            number = number.shiftLeft(32).or(BigInteger.valueOf(dice.bits() & 0xffffffffL));
        }
        return number.mod(BigInteger.ONE.shiftLeft(bits));
    }

    private static BigInteger v4(Dice dice) {
        long start = dice.of(10L << 24, 192L << 24 | 168 << 16, 172L << 24 | 16 << 16, 127L << 24, 0L, 0xffffff00L);
        return BigInteger.valueOf(start | dice.below(dice.of(256, 65536)));
    }

    private static BigInteger v6(Dice dice) {
        BigInteger start = new BigInteger(dice.of("fe80", "2001", "fd00", "0", "ffff", "9"), 16).shiftLeft(112);
        return start.or(random(dice, dice.of(4, 16, 64, 112)).and(dice.percent(50) ? random(dice, 112) : BigInteger.ONE.shiftLeft(112).subtract(BigInteger.ONE)));
    }

    private static String text(Dice dice, BigInteger address, int bits) {
        if (bits == 32) {
            long number = address.longValue();
            if (dice.percent(6)) {
                return String.format(dice.of("::ffff:%x:%x", "0:0:0:0:0:FFFF:%X:%X", "::FFFF:%04x:%04x"), number >> 16, number & 0xffff);
            }
            String format = dice.percent(6) ? "%03d.%d.%02d.%d" : "%d.%d.%d.%d";
            return String.format(format, number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255);
        }
        StringBuilder text = new StringBuilder();
        String format = dice.of("%x", "%x", "%04x");
        for (int i = 7; i >= 0; i--) {
            text.append(String.format(format, address.shiftRight(16 * i).intValue() & 0xffff)).append(i > 0 ? ":" : "");
        }
        String full = text.toString();
        if (dice.percent(60)) {
            String zero = format.equals("%x") ? "0" : "0000";
            full = (":" + full + ":").replaceFirst("(:" + zero + "){2,}:", dice.percent(90) ? "::" : "$0");
            full = full.equals("::") ? full : full.replaceAll("^:(?!:)|(?<!:):$", "");
            if (full.startsWith(":::")) {
                full = full.substring(1);
            }
        }
        return dice.percent(25) ? full.toUpperCase(Locale.ROOT) : full;
    }
}
