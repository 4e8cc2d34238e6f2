// govmomi-decode: how many events a second of processor time govmomi decodes and encoding/json writes.
//
//	govmomi-decode -seconds 3 page.xml...
//
// Each page is a ReadNextEventsResponse, as the oracle makes them. Prints events per CPU second, user and system time of
// the whole process (so the garbage collector counts), after one pass to warm up.
//
// Build: go build -o govmomi-decode .
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

func cpu() time.Duration {
	var r syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func transcode(page []byte) (events, size int) {
	var body methods.ReadNextEventsBody
	d := xml.NewDecoder(bytes.NewReader(page))
	d.TypeFunc = types.TypeFunc()
	must(d.Decode(&soap.Envelope{Body: &body}))
	for _, e := range body.Res.Returnval {
		j, err := json.Marshal(e)
		must(err)
		size += len(j)
	}
	return len(body.Res.Returnval), size
}

func main() {
	seconds := flag.Float64("seconds", 3, "how long to measure, in CPU seconds")
	flag.Parse()
	var pages [][]byte
	for _, name := range flag.Args() {
		page, err := os.ReadFile(name)
		must(err)
		pages = append(pages, page)
		transcode(page)
	}
	if len(pages) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	events, size := 0, 0
	start := cpu()
	for cpu()-start < time.Duration(*seconds*float64(time.Second)) {
		for _, page := range pages {
			e, s := transcode(page)
			events += e
			size += s
		}
	}
	took := (cpu() - start).Seconds()
	fmt.Printf("%.0f events per CPU second, %d bytes of JSON each\n", float64(events)/took, size/events)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "govmomi-decode:", err)
		os.Exit(1)
	}
}
