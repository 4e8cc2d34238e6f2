/** A pattern and an event, both JSON text. */
record Case(String pattern, String event) {}
