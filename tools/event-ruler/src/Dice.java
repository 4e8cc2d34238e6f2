import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;

/** Chance, the same for the same seed. */
final class Dice {
    private final Random random;

    Dice(long seed) {
        random = new Random(seed);
    }

    int below(int bound) {
        return random.nextInt(bound);
    }

    int between(int least, int most) {
        return least + random.nextInt(most - least + 1);
    }

    boolean percent(int percent) {
        return random.nextInt(100) < percent;
    }

    long bits() {
        return random.nextLong();
    }

    @SafeVarargs
    final <T> T of(T... choices) {
        return choices[random.nextInt(choices.length)];
    }

    <T> T of(List<T> choices) {
        return choices.get(random.nextInt(choices.size()));
    }

    /** A string of `least` to `most` code points of the alphabet. */
    String string(String alphabet, int least, int most) {
        int[] letters = alphabet.codePoints().toArray();
        int[] chosen = new int[between(least, most)];
        Arrays.setAll(chosen, i -> letters[below(letters.length)]);
        return new String(chosen, 0, chosen.length);
    }

    /** What vSphere would say, or a few letters. */
    String word() {
        return percent(55) ? of(Words.VSPHERE) : string("abAB", 1, 5);
    }

    /** Nearly the same, but another. */
    String mutated(String text, String alphabet) {
        List<Integer> points = text.codePoints().boxed().collect(Collectors.toList());
        int letter = alphabet.codePointAt(alphabet.offsetByCodePoints(0, below(alphabet.codePointCount(0, alphabet.length()))));
        int at = points.isEmpty() ? 0 : below(points.size());
        int how = points.isEmpty() ? 0 : below(6);
        switch (how) {
            case 0 -> points.add(at, letter);
            case 1 -> points.add(letter);
            case 2 -> points.remove(at);
            case 3 -> points.set(at, letter);
            case 4 -> points.set(at, otherCase(points.get(at)));
            default -> points.add(points.get(at));
        }
        return points.stream().map(Character::toString).collect(Collectors.joining());
    }

    String mutated(String text) {
        return mutated(text, "abAB-. ");
    }

    /** The same letters, some of them in the other case. */
    String recased(String text) {
        return text.codePoints().map(point -> percent(50) ? otherCase(point) : point)
                .mapToObj(Character::toString).collect(Collectors.joining());
    }

    private static int otherCase(int point) {
        return Character.isUpperCase(point) ? Character.toLowerCase(point) : Character.toUpperCase(point);
    }
}
