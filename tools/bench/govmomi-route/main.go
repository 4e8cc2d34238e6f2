// govmomi-route: what the router does, as plainly as govmomi, encoding/json and net/http do it, to compare with.
//
//	govmomi-route -vcenter http://user:pass@127.0.0.1:8989/sdk -function http://127.0.0.1:8080/function/f0
//
// Reads events from a history collector, page by page, makes a CloudEvent of each and posts it, with so many under way
// at once. No order, no retries, no checkpoint, no metrics: it does less than the router. Ends when it is killed.
//
// Build: go build -o govmomi-route .
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/vim25/types"
)

// cloudEvent has its attributes in the order in which the router writes them.
type cloudEvent struct {
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	SpecVersion     string          `json:"specversion"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            time.Time       `json:"time"`
	Data            types.BaseEvent `json:"data"`
	DataContentType string          `json:"datacontenttype"`
}

func subject(e types.BaseEvent) (kind, subject string) {
	switch e := e.(type) {
	case *types.EventEx:
		return "eventex", e.EventTypeId
	case *types.ExtendedEvent:
		return "extendedevent", e.EventTypeId
	default:
		return "event", reflect.TypeOf(e).Elem().Name()
	}
}

type target struct {
	client *http.Client
	url    string
	source string
}

func (t *target) post(e types.BaseEvent) error {
	kind, subject := subject(e)
	base := e.GetEvent()
	id := strconv.Itoa(int(base.Key)) + "/" + strconv.FormatInt(base.CreatedTime.UnixMilli(), 10)
	body, err := json.Marshal(cloudEvent{
		ID:              id,
		Source:          t.source,
		SpecVersion:     "1.0",
		Type:            "com.vmware.event.router/" + kind,
		Subject:         subject,
		Time:            base.CreatedTime,
		Data:            e,
		DataContentType: "application/json",
	})
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/cloudevents+json")
	request.Header.Set("X-Connector", "govmomi-route")
	request.Header.Set("X-Topic", subject)
	request.Header.Set("X-Call-Id", id)
	response, err := t.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", t.url, response.Status)
	}
	return nil
}

func main() {
	vcenter := flag.String("vcenter", "", "the vCenter's URL, with user and password")
	function := flag.String("function", "", "the function's URL")
	inFlight := flag.Int("in-flight", 64, "posts under way at once")
	page := flag.Int("page", 1000, "events read at once")
	flag.Parse()
	if *vcenter == "" || *function == "" {
		flag.Usage()
		os.Exit(2)
	}

	from, err := url.Parse(*vcenter)
	must(err)
	ctx := context.Background()
	client, err := govmomi.NewClient(ctx, from, true)
	must(err)
	source := *from
	source.User = nil

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = *inFlight
	transport.MaxIdleConnsPerHost = *inFlight
	to := &target{&http.Client{Transport: transport}, *function, source.String()}

	// A page's worth may wait, so that the next page is read while this one is posted.
	events := make(chan types.BaseEvent, *page)
	for i := 0; i < *inFlight; i++ {
		go func() {
			for e := range events {
				must(to.post(e))
			}
		}()
	}

	collector, err := event.NewManager(client.Client).CreateCollectorForEvents(ctx, types.EventFilterSpec{})
	must(err)
	must(collector.Rewind(ctx))
	for {
		read, err := collector.ReadNextEvents(ctx, int32(*page))
		must(err)
		for _, e := range read {
			events <- e
		}
		if len(read) == 0 {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "govmomi-route:", err)
		os.Exit(1)
	}
}
