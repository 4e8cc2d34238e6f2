import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An event with a place for one value, and patterns that look there. */
final class Scene {
    private static final List<String> KEYS = List.of("a", "b", "c", "Vm", "Host", "Name", "Key", "detail", "data");
    private static final List<String> PLACES = List.of("detail-type", "source", "resources", "detail.subject",
            "detail.data.UserName", "detail.data.Vm.Name", "detail.data.Host.Name", "detail.data.Datacenter.Name",
            "detail.data.FullFormattedMessage", "detail.data.Key", "detail.data.Vm.Vm.Value", "detail.data.Message");

    private final Map<String, Object> event;
    private final Map<String, Object> guard;
    private final List<String> path;

    private Scene(Map<String, Object> event, Map<String, Object> guard, List<String> path) {
        this.event = event;
        this.guard = guard;
        this.path = path;
    }

    static Scene any(Dice dice) {
        return dice.percent(25) ? envelope(dice) : small(dice);
    }

    static Scene small(Dice dice) {
        List<String> path = dice.of(KEYS).lines().collect(java.util.stream.Collectors.toList());
        while (path.size() < 3 && dice.percent(35)) {
            path.add(dice.of(KEYS));
        }
        Map<String, Object> event = new LinkedHashMap<>();
        Map<String, Object> guard = new LinkedHashMap<>();
        if (dice.percent(35)) {
            event.put("z", dice.of("1", "\"z\"", "null"));
        }
        if (dice.percent(20)) {
            event.put("kind", "\"vm\"");
            guard.put("kind", "[\"vm\"]");
        }
        return new Scene(event, guard, path);
    }

    static Scene envelope(Dice dice) {
        String subject = dice.of("VmPoweredOnEvent", "VmPoweredOffEvent", "VmReconfiguredEvent");
        Map<String, Object> data = new LinkedHashMap<>();
        data.put("Key", String.valueOf(dice.between(100, 9999)));
        if (dice.percent(60)) {
            data.put("ChainId", String.valueOf(dice.between(100, 9999)));
            data.put("CreatedTime", "\"2024-05-0" + dice.between(1, 9) + "T10:11:12.13Z\"");
        }
        data.put("UserName", dice.of("\"VSPHERE.LOCAL\\\\Administrator\"", "\"root\""));
        data.put("Vm", reference("vm-42", "VirtualMachine", "Vm", dice.of("DC0_H0_VM0", "DC0_H0_VM1")));
        if (dice.percent(60)) {
            data.put("Host", reference("host-21", "HostSystem", "Host", "DC0_H0"));
        }
        if (dice.percent(40)) {
            data.put("Template", "false");
            data.put("Ds", "null");
        }
        Map<String, Object> detail = new LinkedHashMap<>();
        detail.put("specversion", "\"1.0\"");
        detail.put("type", "\"com.vmware.event.router/event\"");
        detail.put("subject", Json.string(subject));
        detail.put("data", data);
        Map<String, Object> event = new LinkedHashMap<>();
        event.put("version", "\"0\"");
        event.put("id", "\"e-" + dice.between(1, 999) + "\"");
        event.put("detail-type", Json.string(subject));
        event.put("source", "\"vcenter.corp.local\"");
        event.put("account", "\"123456789012\"");
        event.put("time", "\"2024-05-01T10:11:12Z\"");
        event.put("region", "\"eu-central-1\"");
        event.put("resources", "[]");
        event.put("detail", detail);
        Map<String, Object> guard = new LinkedHashMap<>();
        List<String> path = List.of(dice.of(PLACES).split("\\."));
        if (dice.percent(30) && !path.get(0).equals("source")) {
            guard.put("source", "[\"vcenter.corp.local\"]");
        }
        return new Scene(event, guard, path);
    }

    private static Map<String, Object> reference(String value, String type, String key, String name) {
        Map<String, Object> inner = new LinkedHashMap<>();
        inner.put("Type", Json.string(type));
        inner.put("Value", Json.string(value));
        Map<String, Object> outer = new LinkedHashMap<>();
        outer.put("Name", Json.string(name));
        outer.put(key, inner);
        return outer;
    }

    /** The event with this value, or without any. */
    String event(String value) {
        return Json.tree(with(event, 0, value));
    }

    String pattern(String list) {
        return Json.tree(with(guard, 0, list));
    }

    private Map<String, Object> with(Map<String, Object> tree, int depth, String value) {
        Map<String, Object> copy = new LinkedHashMap<>(tree);
        String key = path.get(depth);
        if (depth == path.size() - 1) {
            copy.remove(key);
            if (value != null) {
                copy.put(key, value);
            }
            return copy;
        }
        @SuppressWarnings("unchecked")
        Map<String, Object> inner = copy.get(key) instanceof Map<?, ?> map ? (Map<String, Object>) map : Map.of();
        copy.put(key, with(inner, depth + 1, value));
        return copy;
    }

    Case with(String list, String value) {
        return new Case(pattern(list), event(value));
    }
}
