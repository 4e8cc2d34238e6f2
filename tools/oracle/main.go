// oracle: differential test data for a re-implementation of "vim25 event XML -> govmomi JSON".
//
// For every event type govmomi knows (each struct that is or embeds Event) it makes seeded
// random instances, writes them as the SOAP response a vCenter would send, has govmomi's own
// decoder read that response back, and stores what encoding/json makes of the result.
//
//	oracle -seed N -n M -out DIR
//
// Per page file: page-NNNN.xml (response), page-NNNN.json (the expected JSON array, compact, one
// line), page-NNNN.types (one Go type name per event). manifest.json lists what was made.
// Build:
//
//	go build -ldflags=-checklinkname=0 -o oracle .
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"
	_ "unsafe"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// The package's type registry (not exported).
//
//go:linkname registry github.com/vmware/govmomi/vim25/types.t
var registry map[string]reflect.Type

var (
	seed   = flag.Int64("seed", 1, "random seed")
	n      = flag.Int("n", 3, "instances per event type (0: full, 1: minimal, others random)")
	out    = flag.String("out", "", "output directory")
	page   = flag.Int("page", 100, "events per response document")
	wrap   = flag.String("wrap", "next", "next (ReadNextEvents) | query (QueryEvents) | wait (WaitForUpdatesEx, latestPage)")
	noByte = flag.Bool("no-bytes", false, "leave base64Binary and byte[] fields out (govmomi does not base64-decode them)")
	drop   = flag.Float64("drop", 0, "probability to leave a required element out")
	quirks = flag.Bool("quirks", false, "also: unknown elements, comments, CDATA, pretty printing, odd prefixes, raw CR, bools as 1/0")
	only   = flag.String("only", "", "only event types whose name contains this")
	api    = flag.String("api", "7.0", "7.0: the linked package's own view (govmomi 0.23-0.25); 6.7: leave out what govmomi 0.22 (API 6.7) did not have")
	sweep  = flag.Bool("sweep", true, "add EventEx events whose arguments hold one value of every data type an event can carry")
	judge  = flag.Bool("judge", false, "make nothing: write the JSON of the pages that follow, each beside its page as .json")
	list   = flag.Bool("list", false, "list the event types and exit")
)

var (
	tTime  = reflect.TypeOf(time.Time{})
	tRef   = reflect.TypeOf(types.ManagedObjectReference{})
	tBytes = reflect.TypeOf([]byte(nil))
	tEvent = reflect.TypeOf(types.Event{})
)

// []byte in Go stands for two wire types; these fields are xsd:byte arrays (repeated elements).
var byteArrays = map[string]bool{"HostSubSpecification.Data": true, "ArrayOfByte.Byte": true}

// What the 6.7 schema (govmomi 0.21-0.22) lacks, among all that an event can carry.
var no67Field = map[string]bool{
	"CustomizationFailed.Reason": true, "ToolsConfigInfo.SyncTimeWithHostAllowed": true, "VMwareDVSPortSetting.VNI": true,
	"DVPortgroupConfigSpec.BackingType": true, "DVPortgroupConfigSpec.TransportZoneUuid": true, "DVPortgroupConfigSpec.TransportZoneName": true,
	"DVPortgroupConfigSpec.LogicalSwitchUuid": true, "DVPortgroupConfigSpec.SegmentId": true,
	"VirtualMachineConfigSpec.VcpuConfig": true, "VirtualMachineConfigSpec.SgxInfo": true, "VirtualMachineConfigSpec.GuestMonitoringModeInfo": true,
	"VirtualMachineConfigSpec.SevEnabled": true,
}
var no67Type = map[string]bool{
	"FeatureEVCMode": true, "SolutionUserRequired": true, "VirtualMachineGuestMonitoringModeInfo": true, "VirtualMachineSgxInfo": true,
	"VirtualMachineVcpuConfig": true, "VirtualPCIPassthroughAllowedDevice": true, "VirtualPCIPassthroughDynamicBackingInfo": true,
	"VirtualPrecisionClock": true, "VirtualPrecisionClockSystemClockBackingInfo": true, "VirtualWDT": true,
}

// A field that is a pointer in 0.22 and a value in 0.24: absent is null there.
var ptr67 = map[string]bool{"ReplicationVmFault.Vm": true}

func skipField(t reflect.Type, f reflect.StructField) bool {
	return *api == "6.7" && no67Field[t.Name()+"."+f.Name]
}

// marshal is encoding/json's result for these types, less what skipField names. With -api 7.0 it
// must give exactly what json.Marshal gives, and that is checked for every event.
func marshal(b *bytes.Buffer, v reflect.Value) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Interface, reflect.Ptr:
		if v.IsNil() {
			b.WriteString("null")
			return
		}
		marshal(b, v.Elem())
		return
	case reflect.Slice:
		if t == tBytes {
			break
		}
		if v.IsNil() {
			b.WriteString("null")
			return
		}
		for i := 0; i < v.Len(); i++ {
			b.WriteByte("[,"[map[bool]int{true: 1}[i > 0]])
			marshal(b, v.Index(i))
		}
		b.WriteByte(']')
		return
	case reflect.Struct:
		if t == tTime {
			break
		}
		names := map[string]bool{}
		b.WriteByte('{')
		marshalFields(b, v, names)
		b.WriteByte('}')
		return
	}
	j, err := json.Marshal(v.Interface())
	must(err)
	b.Write(j)
}

func marshalFields(b *bytes.Buffer, v reflect.Value, names map[string]bool) {
	t := v.Type()
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Anonymous {
			marshalFields(b, v.Field(i), names)
			continue
		}
		if skipField(t, f) {
			continue
		}
		if names[f.Name] {
			must(fmt.Errorf("%v: field %s twice", t, f.Name)) // would need encoding/json's depth rule
		}
		if len(names) > 0 {
			b.WriteByte(',')
		}
		names[f.Name] = true
		fmt.Fprintf(b, "%q:", f.Name)
		if *api == "6.7" && ptr67[t.Name()+"."+f.Name] && v.Field(i).IsZero() {
			b.WriteString("null")
			continue
		}
		marshal(b, v.Field(i))
	}
}

func toJSON(v interface{}) string {
	var b bytes.Buffer
	marshal(&b, reflect.ValueOf(v))
	if *api == "7.0" {
		j, err := json.Marshal(v)
		must(err)
		if string(j) != b.String() {
			must(fmt.Errorf("marshal is not json.Marshal:\n%s\n%s", b.String(), j))
		}
	}
	return b.String()
}

func embeds(t, base reflect.Type) bool {
	for t.Kind() == reflect.Struct {
		if t == base {
			return true
		}
		if t.NumField() == 0 || !t.Field(0).Anonymous {
			return false
		}
		t = t.Field(0).Type
	}
	return false
}

type gen struct {
	r     *rand.Rand
	impl  map[reflect.Type][]reflect.Type
	mode  int // 0 full, 1 minimal, 2 random
	xsi   string
	b     bytes.Buffer
	bytes bool // a byte field was written
	fresh bool // the field being filled was not written yet
	odd   bool // something was written that the filled value does not show
}

var used = map[reflect.Type]int{} // times chosen for a polymorphic field

var emitted = map[string]bool{} // "Struct.Field" written at least once

func (g *gen) p(x float64) bool { return g.r.Float64() < x }

// ---- filling values ---------------------------------------------------------------------

var runes = []rune("abcXYZ019 -_.:/\\\"'<>&\t\n\r{}[]%$#@!?=+*~^`|;,()éüß漢字😀\u00a0\u0085\u2028\u2029\u200f\ufeff\ufffd\u007f\ue000\U0010fffd\u0301")

func (g *gen) str() string {
	switch g.r.Intn(12) {
	case 0:
		return ""
	case 1:
		return " lead and trail\n"
	case 2:
		return "<a href=\"x\">&amp; ]]> 'q'</a>"
	case 3:
		return strings.Repeat("long ", g.r.Intn(60))
	case 4, 5, 6:
		var b strings.Builder
		for i := g.r.Intn(24); i >= 0; i-- {
			b.WriteRune(runes[g.r.Intn(len(runes))])
		}
		return b.String()
	}
	return []string{"vm-01", "VSPHERE.LOCAL\\Administrator", "[datastore1] a b/a b.vmx", "com.vmware.vc.HA.x", "true", "0", "null", "10.0.0.1", "Über"}[g.r.Intn(9)]
}

func (g *gen) time() time.Time {
	t := time.Unix(g.r.Int63n(4e9)-1e8, 0).UTC()
	switch g.r.Intn(5) {
	case 0:
	case 1:
		t = t.Add(time.Duration(g.r.Intn(1000)) * time.Millisecond)
	case 2, 3:
		t = t.Add(time.Duration(g.r.Intn(1000000)) * time.Microsecond)
	case 4:
		t = t.Add(time.Duration(g.r.Intn(1000000000)))
	}
	if g.p(.15) {
		t = t.In(time.FixedZone("", (g.r.Intn(57)-28)*1800))
	}
	return t
}

func (g *gen) int(bits uint) int64 {
	max := int64(1)<<(bits-1) - 1
	switch g.r.Intn(8) {
	case 0:
		return 0
	case 1:
		return max
	case 2:
		return -max - 1
	case 3:
		return -1
	}
	return g.r.Int63n(max) >> uint(g.r.Intn(int(bits)-1))
}

func (g *gen) float(bits int) float64 {
	f := []float64{0, 1, -1.5, 0.1, 1e20, 1e21, 1e-6, 1e-7, 123456.789, -2.5e-9, math.Copysign(0, -1), 3, math.Pi, 1e15}[g.r.Intn(14)]
	if bits == 32 {
		return float64(float32(f))
	}
	return f
}

func (g *gen) have(depth int) bool {
	if g.fresh {
		g.fresh = false
		return g.mode == 0 || g.p(.8)
	}
	switch g.mode {
	case 0:
		if depth < 4 {
			return true
		}
		return g.p(.1)
	case 1:
		return false
	}
	q := .65 - .11*float64(depth)
	if q < .04 {
		q = .04
	}
	return g.p(q)
}

func (g *gen) fill(v reflect.Value, depth int) {
	t := v.Type()
	switch {
	case t == tTime:
		v.Set(reflect.ValueOf(g.time()))
		return
	case t == tBytes:
		if *noByte || !g.have(depth) {
			return
		}
		b := make([]byte, 1+g.r.Intn(12))
		g.r.Read(b)
		v.Set(reflect.ValueOf(b))
		return
	case t == tRef:
		v.Set(reflect.ValueOf(g.ref()))
		return
	}
	switch t.Kind() {
	case reflect.String:
		if t.Name() != "string" { // enumeration
			v.SetString([]string{"green", "poweredOn", "info", "default_", "assign"}[g.r.Intn(5)])
			return
		}
		v.SetString(g.str())
	case reflect.Bool:
		v.SetBool(g.p(.5))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(g.int(uint(t.Bits())))
	case reflect.Uint8:
		v.SetUint(uint64(g.r.Intn(256)))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(g.float(t.Bits()))
	case reflect.Ptr:
		if g.have(depth) {
			v.Set(reflect.New(t.Elem()))
			g.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if !g.have(depth) {
			return
		}
		k := 1 + g.r.Intn(3)
		if depth > 3 {
			k = 1
		}
		for i := 0; i < k; i++ {
			e := reflect.New(t.Elem()).Elem()
			g.fresh = t.Elem() == tBytes
			g.fill(e, depth+1)
			if (e.Kind() == reflect.Interface || e.Kind() == reflect.Slice) && e.IsNil() {
				continue
			}
			v.Set(reflect.Append(v, e))
		}
	case reflect.Interface:
		if t.NumMethod() == 0 {
			if a := g.any(depth); a != nil {
				v.Set(reflect.ValueOf(a))
			}
			return
		}
		if depth > 9 || (depth > 4 && !g.have(depth)) {
			return
		}
		c := g.impl[t]
		if len(c) == 0 {
			return
		}
		k := c[g.r.Intn(len(c))]
		for i := 0; i < 4; i++ { // prefer types not used yet
			if o := c[g.r.Intn(len(c))]; used[o] < used[k] {
				k = o
			}
		}
		used[k]++
		p := reflect.New(k)
		g.fill(p.Elem(), depth+1)
		v.Set(p)
	case reflect.Struct:
		for i := 0; i < t.NumField(); i++ {
			f := t.Field(i)
			if f.Anonymous {
				g.fill(v.Field(i), depth)
				continue
			}
			if skipField(t, f) {
				continue
			}
			tag := f.Tag.Get("xml")
			opt := strings.Contains(tag, ",omitempty")
			k := f.Type.Kind()
			g.fresh = g.mode != 1 && depth < 7 && !emitted[t.Name()+"."+f.Name]
			if opt && k != reflect.Ptr && k != reflect.Slice && !g.have(depth) {
				continue
			}
			g.fill(v.Field(i), depth+1)
			g.fresh = false
		}
	default:
		panic("fill " + t.String())
	}
}

func (g *gen) ref() types.ManagedObjectReference {
	k := []string{"VirtualMachine", "HostSystem", "Datacenter", "Folder", "ClusterComputeResource", "Task"}[g.r.Intn(6)]
	return types.ManagedObjectReference{Type: k, Value: fmt.Sprintf("%s-%d", strings.ToLower(k[:4]), g.r.Intn(100000))}
}

func (g *gen) any(depth int) interface{} {
	switch g.r.Intn(17) {
	case 0:
		return int32(g.int(32))
	case 1:
		return g.int(64)
	case 2:
		return int16(g.int(16))
	case 3:
		return int8(g.int(8))
	case 4:
		return g.p(.5)
	case 5:
		return float32(g.float(32))
	case 6:
		return g.float(64)
	case 7:
		return g.time()
	case 8:
		return g.ref()
	case 9:
		return types.ArrayOfString{String: []string{g.str(), g.str()}}
	case 10:
		return types.ArrayOfInt{Int: []int32{1, int32(g.int(32))}}
	case 11:
		return types.VirtualMachinePowerStatePoweredOff
	case 12:
		return types.ArrayOfManagedObjectReference{ManagedObjectReference: []types.ManagedObjectReference{g.ref()}}
	case 13:
		d := types.ElementDescription{Key: g.str()}
		d.Label, d.Summary = g.str(), g.str()
		return d
	case 14:
		if depth < 6 {
			return types.KeyAnyValue{Key: g.str(), Value: g.any(depth + 1)}
		}
	case 15:
		if depth < 6 {
			return types.ArrayOfAnyType{AnyType: []types.AnyType{g.any(depth + 1), g.str()}}
		}
	}
	return g.str()
}

// ---- writing XML ------------------------------------------------------------------------

func (g *gen) text(s string) {
	if *quirks && g.p(.1) && s != "" && !strings.ContainsAny(s, "\r") && !strings.Contains(s, "]]>") {
		g.b.WriteString("<![CDATA[" + s + "]]>")
		return
	}
	for _, c := range s {
		switch {
		case c == '<':
			g.b.WriteString("&lt;")
		case c == '>':
			g.b.WriteString("&gt;")
		case c == '&':
			g.b.WriteString("&amp;")
		case c == '"' && g.p(.5):
			g.b.WriteString("&quot;")
		case c == '\'' && g.p(.5):
			g.b.WriteString("&apos;")
		case c == '\r':
			if *quirks && g.p(.5) {
				g.odd = true
				g.b.WriteByte('\r') // an XML reader turns this into \n
			} else {
				g.b.WriteString("&#xD;")
			}
		case *quirks && c > 0x20 && g.p(.02):
			fmt.Fprintf(&g.b, "&#%d;", c)
		default:
			g.b.WriteRune(c)
		}
	}
}

func (g *gen) space() {
	if *quirks && g.p(.05) {
		g.b.WriteString([]string{"\n", " ", "\n  ", "<!-- c -->", "\r\n\t"}[g.r.Intn(5)])
	}
}

func (g *gen) stamp(t time.Time) string {
	if g.p(.5) && t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05.000000Z07:00")
	}
	if t.Nanosecond()%1000 == 0 && g.p(.6) {
		return t.Format("2006-01-02T15:04:05.000000Z07:00")
	}
	return t.Format(time.RFC3339Nano)
}

func xsdName(t reflect.Type) string {
	switch {
	case t == tTime:
		return "xsd:dateTime"
	case t == tBytes:
		return "xsd:base64Binary"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "xsd:boolean"
	case reflect.Int8:
		return "xsd:byte"
	case reflect.Int16:
		return "xsd:short"
	case reflect.Int32:
		return "xsd:int"
	case reflect.Int64:
		return "xsd:long"
	case reflect.Float32:
		return "xsd:float"
	case reflect.Float64:
		return "xsd:double"
	case reflect.String:
		if t.Name() == "string" {
			return "xsd:string"
		}
	}
	return t.Name()
}

// elem writes <name ...>value</name>; owner is "Struct.Field" of the field it stands for.
func (g *gen) elem(name, owner string, v reflect.Value, typed bool) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		v = v.Elem()
		if v.Kind() == reflect.Ptr {
			v = v.Elem()
		}
		g.elem(name, owner, v, true)
		return
	case reflect.Ptr:
		if !v.IsNil() {
			g.elem(name, owner, v.Elem(), typed)
		}
		return
	case reflect.Slice:
		if t == tBytes {
			if v.Len() == 0 {
				return
			}
			g.bytes = true
			if byteArrays[owner] {
				for i := 0; i < v.Len(); i++ {
					fmt.Fprintf(&g.b, "<%s>%d</%s>", name, int8(v.Index(i).Uint()), name)
				}
				return
			}
			break
		}
		for i := 0; i < v.Len(); i++ {
			g.elem(name, owner, v.Index(i), typed)
		}
		return
	}
	g.space()
	g.b.WriteString("<" + name)
	if typed {
		fmt.Fprintf(&g.b, ` %s:type="%s"`, g.xsi, xsdName(t))
	}
	if t == tRef {
		r := v.Interface().(types.ManagedObjectReference)
		fmt.Fprintf(&g.b, ` type="%s">`, r.Type)
		g.text(r.Value)
		g.b.WriteString("</" + name + ">")
		return
	}
	if t.Kind() == reflect.Struct && t != tTime {
		at := g.b.Len()
		g.b.WriteByte('>')
		g.fields(v)
		if g.b.Len() == at+1 && g.p(.5) {
			g.b.Truncate(at)
			g.b.WriteString("/>")
			return
		}
		g.space()
		g.b.WriteString("</" + name + ">")
		return
	}
	g.b.WriteByte('>')
	switch {
	case t == tTime:
		g.b.WriteString(g.stamp(v.Interface().(time.Time)))
	case t == tBytes:
		g.b.WriteString(base64.StdEncoding.EncodeToString(v.Bytes()))
	case t.Kind() == reflect.String:
		g.text(v.String())
	case t.Kind() == reflect.Bool:
		s := strconv.FormatBool(v.Bool())
		if *quirks && g.p(.1) {
			s = map[bool]string{true: "1", false: "0"}[v.Bool()]
		}
		g.b.WriteString(s)
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		g.b.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, t.Bits()))
	case t.Kind() == reflect.Uint8:
		fmt.Fprint(&g.b, int8(v.Uint()))
	default:
		fmt.Fprint(&g.b, v.Int())
	}
	g.b.WriteString("</" + name + ">")
}

func (g *gen) fields(v reflect.Value) {
	t := v.Type()
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Anonymous {
			g.fields(v.Field(i))
			continue
		}
		if skipField(t, f) {
			continue
		}
		parts := strings.Split(f.Tag.Get("xml"), ",")
		opt, typed := false, false
		for _, p := range parts[1:] {
			opt = opt || p == "omitempty"
			typed = typed || p == "typeattr"
		}
		fv := v.Field(i)
		if opt && fv.Kind() != reflect.Ptr && fv.Kind() != reflect.Slice && fv.Kind() != reflect.Interface && fv.IsZero() {
			if g.p(.8) { // an absent optional and a zero one give the same JSON
				continue
			}
		}
		if !opt && *drop > 0 && g.p(*drop) {
			g.odd = true
			continue
		}
		at := g.b.Len()
		g.elem(parts[0], t.Name()+"."+f.Name, fv, typed)
		if g.b.Len() > at {
			emitted[t.Name()+"."+f.Name] = true
		}
		if *quirks && g.p(.02) {
			g.odd = true // same JSON, but keep the check simple
			fmt.Fprintf(&g.b, `<unknown%d a="b"><x>1</x>t</unknown%d>`, i, i)
		}
	}
}

// ---- responses --------------------------------------------------------------------------

const head = `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/"
 xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema"
 xmlns:%s="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body>
`

func envelope(xsi string, evs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, head, xsi)
	switch *wrap {
	case "next", "query":
		m := map[string]string{"next": "ReadNextEventsResponse", "query": "QueryEventsResponse"}[*wrap]
		fmt.Fprintf(&b, `<%s xmlns="urn:vim25">`, m)
		for _, e := range evs {
			b.WriteString(strings.Replace(e, "<@", "<returnval", 1) + "</returnval>")
		}
		fmt.Fprintf(&b, "</%s>", m)
	case "wait":
		fmt.Fprintf(&b, `<WaitForUpdatesExResponse xmlns="urn:vim25"><returnval><version>1</version><filterSet><filter type="PropertyFilter">session[1]2</filter><objectSet><kind>modify</kind><obj type="EventHistoryCollector">session[1]3</obj><changeSet><name>latestPage</name><op>assign</op><val %s:type="ArrayOfEvent">`, xsi)
		for _, e := range evs {
			b.WriteString(strings.Replace(e, "<@", "<Event", 1) + "</Event>")
		}
		b.WriteString(`</val></changeSet></objectSet></filterSet></returnval></WaitForUpdatesExResponse>`)
	default:
		panic("-wrap " + *wrap)
	}
	b.WriteString("\n</soapenv:Body>\n</soapenv:Envelope>")
	return b.String()
}

func decode(s string) ([]types.BaseEvent, error) {
	dec := func(body interface{}) error {
		env := soap.Envelope{Body: body}
		d := xml.NewDecoder(strings.NewReader(s))
		d.TypeFunc = types.TypeFunc()
		return d.Decode(&env)
	}
	switch *wrap {
	case "next":
		var b methods.ReadNextEventsBody
		if err := dec(&b); err != nil {
			return nil, err
		}
		return b.Res.Returnval, nil
	case "query":
		var b methods.QueryEventsBody
		if err := dec(&b); err != nil {
			return nil, err
		}
		return b.Res.Returnval, nil
	}
	var b methods.WaitForUpdatesExBody
	if err := dec(&b); err != nil {
		return nil, err
	}
	return b.Res.Returnval.FilterSet[0].ObjectSet[0].ChangeSet[0].Val.(types.ArrayOfEvent).Event, nil
}

func main() {
	flag.Parse()
	if *api != "6.7" && *api != "7.0" {
		must(fmt.Errorf("-api %s", *api))
	}
	if *judge {
		for _, path := range flag.Args() {
			s, err := os.ReadFile(path)
			must(err)
			got, err := decode(string(s))
			must(err)
			base := strings.TrimSuffix(path, filepath.Ext(path))
			must(os.WriteFile(base+".json", []byte(toJSON(got)+"\n"), 0644))
		}
		return
	}
	var names []string
	seen := map[reflect.Type]bool{}
	for name, t := range registry {
		if t.Kind() == reflect.Struct && name == t.Name() && embeds(t, tEvent) && strings.Contains(name, *only) && !seen[t] {
			seen[t] = true
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if *list {
		for _, s := range names {
			fmt.Println(s)
		}
		return
	}
	if *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	must(os.MkdirAll(*out, 0755))

	// candidates for each polymorphic field type
	impl := map[reflect.Type][]reflect.Type{}
	var structs []reflect.Type
	for name, t := range registry {
		if t.Kind() == reflect.Struct && name == t.Name() {
			// XFault is an alias of fault X for the SOAP detail element, never an xsi:type
			if x, ok := registry[strings.TrimSuffix(name, "Fault")]; ok && x != t && x.ConvertibleTo(t) {
				continue
			}
			if *api == "6.7" && no67Type[name] {
				continue
			}
			structs = append(structs, t)
		}
	}
	sort.Slice(structs, func(i, j int) bool { return structs[i].Name() < structs[j].Name() })
	visited := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		if visited[t] {
			return
		}
		visited[t] = true
		switch t.Kind() {
		case reflect.Ptr, reflect.Slice:
			walk(t.Elem())
		case reflect.Struct:
			if t == tTime {
				return
			}
			for i := 0; i < t.NumField(); i++ {
				walk(t.Field(i).Type)
			}
		case reflect.Interface:
			if t.NumMethod() == 0 {
				return
			}
			for _, s := range structs {
				if reflect.PtrTo(s).Implements(t) {
					impl[t] = append(impl[t], s)
					walk(s)
				}
			}
		}
	}
	for _, s := range names {
		walk(registry[s])
	}

	r := rand.New(rand.NewSource(*seed))
	xsis := []string{"xsi"}
	if *quirks {
		xsis = []string{"xsi", "XMLSchema-instance", "_XMLSchema-instance", "i"}
	}
	var docs, total, compared int
	var evs, kinds, wants []string
	var xsi = xsis[0]
	differ := 0
	flush := func() {
		if len(evs) == 0 {
			return
		}
		s := envelope(xsi, evs)
		got, err := decode(s)
		if err != nil {
			must(os.WriteFile(filepath.Join(*out, "failed.xml"), []byte(s), 0644))
			must(fmt.Errorf("decode: %v", err))
		}
		if len(got) != len(evs) {
			must(fmt.Errorf("decoded %d of %d events", len(got), len(evs)))
		}
		for i, e := range got {
			if k := reflect.TypeOf(e).Elem().Name(); k != kinds[i] {
				must(fmt.Errorf("event %d: decoded as %s, wrote %s", i, k, kinds[i]))
			}
			if wants[i] == "" {
				continue
			}
			j := toJSON(e)
			compared++
			if j != wants[i] {
				differ++
				fmt.Fprintf(os.Stderr, "note: %s: decoded JSON differs from that of the value made:\n  made %s\n  got  %s\n", kinds[i], wants[i], j)
			}
		}
		j := toJSON(got)
		base := filepath.Join(*out, fmt.Sprintf("page-%04d", docs))
		must(os.WriteFile(base+".xml", []byte(s), 0644))
		must(os.WriteFile(base+".json", []byte(j+"\n"), 0644))
		must(os.WriteFile(base+".types", []byte(strings.Join(kinds, "\n")+"\n"), 0644))
		docs++
		total += len(evs)
		evs, kinds, wants = nil, nil, nil
		xsi = xsis[r.Intn(len(xsis))]
	}
	add := func(g *gen, name string, v reflect.Value) {
		fmt.Fprintf(&g.b, `<@ %s:type="%s">`, xsi, name)
		g.fields(v.Elem())
		want := ""
		if !g.odd && !g.bytes {
			want = toJSON(v.Interface())
		}
		evs, kinds, wants = append(evs, g.b.String()), append(kinds, name), append(wants, want)
		if len(evs) >= *page {
			flush()
		}
	}
	for i := 0; i < *n; i++ {
		for _, name := range names {
			g := &gen{r: r, impl: impl, mode: 2, xsi: xsi}
			if i < 2 {
				g.mode = i
			}
			v := reflect.New(registry[name])
			g.fill(v.Elem(), 0)
			add(g, name, v)
		}
	}
	if *sweep && *only == "" {
		var all []reflect.Type
		for t := range visited {
			if t.Kind() == reflect.Struct && t != tTime && t != tRef && registry[t.Name()] == t && !(*api == "6.7" && no67Type[t.Name()]) {
				all = append(all, t)
			}
		}
		sort.Slice(all, func(i, j int) bool { return all[i].Name() < all[j].Name() })
		for len(all) > 0 {
			k := 15
			if k > len(all) {
				k = len(all)
			}
			g := &gen{r: r, impl: impl, mode: 1, xsi: xsi}
			e := &types.EventEx{EventTypeId: "oracle.sweep"}
			g.fill(reflect.ValueOf(&e.Event).Elem(), 0)
			g.mode = 0
			for _, t := range all[:k] {
				p := reflect.New(t).Elem()
				g.fill(p, 3)
				e.Arguments = append(e.Arguments, types.KeyAnyValue{Key: t.Name(), Value: p.Interface()})
			}
			all = all[k:]
			add(g, "EventEx", reflect.ValueOf(e))
		}
	}
	flush()
	fields, structsSeen := 0, 0
	for t := range visited {
		if t.Kind() != reflect.Struct || t == tTime || t == tRef {
			continue
		}
		structsSeen++
		for i := 0; i < t.NumField(); i++ {
			if !t.Field(i).Anonymous {
				fields++
			}
		}
	}
	m := map[string]interface{}{"reachableStructs": structsSeen, "reachableFields": fields, "fieldsWritten": len(emitted), "seed": *seed, "api": *api, "n": *n, "eventTypes": len(names), "polymorphicFieldTypes": len(impl), "documents": docs, "events": total, "crossChecked": compared, "crossCheckDiffer": differ, "wrap": *wrap, "quirks": *quirks, "noBytes": *noByte, "drop": *drop}
	if os.Getenv("ORACLE_UNCOVERED") != "" {
		var u []string
		for t := range visited {
			if t.Kind() == reflect.Struct && t != tTime && t != tRef {
				for i := 0; i < t.NumField(); i++ {
					if f := t.Name() + "." + t.Field(i).Name; !t.Field(i).Anonymous && !emitted[f] {
						u = append(u, f+" "+t.Field(i).Type.String())
					}
				}
			}
		}
		sort.Strings(u)
		fmt.Fprintln(os.Stderr, strings.Join(u, "\n"))
	}
	j, err := json.MarshalIndent(m, "", "  ")
	must(err)
	must(os.WriteFile(filepath.Join(*out, "manifest.json"), append(j, '\n'), 0644))
	fmt.Printf("%s\n", j)
	if differ > 0 {
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}
