// vcsim: govmomi's vCenter simulator as a command, for tests.
//
// The simulator is govmomi's own (package simulator, at the version that go.mod
// pins). Only this entry point is ours: upstream keeps its commands in modules
// that replace govmomi by a folder beside them, which `go install` refuses.
// The flags that both have mean the same in both.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/simulator"

	// Each registers one more endpoint of a vCenter.
	_ "github.com/vmware/govmomi/lookup/simulator"
	_ "github.com/vmware/govmomi/pbm/simulator"
	_ "github.com/vmware/govmomi/ssoadmin/simulator"
	_ "github.com/vmware/govmomi/sts/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("vcsim: ")

	vcenter := simulator.VPX()
	var (
		listen   = flag.String("l", "127.0.0.1:8989", "`address` to listen on; port 0 lets the system choose")
		announce = flag.String("E", "-", "`file` or fifo that gets one line with GOVC_URL once the server listens (-: standard output)")
		username = flag.String("username", "", "the user who may log in (default: anyone)")
		password = flag.String("password", "", "that user's password")
		secure   = flag.Bool("tls", true, "serve HTTPS")
		cert     = flag.String("tlscert", "", "certificate `file` (default: one that signs itself)")
		key      = flag.String("tlskey", "", "private key `file`")
		esx      = flag.Bool("esx", false, "simulate one ESX host instead of a vCenter")
		load     = flag.String("load", "", "read the inventory from this `folder` (as `govc object.save` writes it)")
		slow     = flag.String("method-delay", "", "delay single methods, in ms: `METHOD:MS,...`")
		trace    = flag.Bool("trace", false, "write every SOAP request and response to -trace-file")
		traceTo  = flag.String("trace-file", "", "`file` for -trace (default: standard error)")
	)
	flag.StringVar(&vcenter.ServiceContent.About.ApiVersion, "api-version", vcenter.ServiceContent.About.ApiVersion, "API `version` to report")
	flag.BoolVar(&vcenter.Autostart, "autostart", vcenter.Autostart, "power the virtual machines on")
	flag.IntVar(&vcenter.DelayConfig.Delay, "delay", 0, "delay every method, in `ms`")
	flag.Float64Var(&vcenter.DelayConfig.DelayJitter, "delay-jitter", 0, "spread of the delays, as a coefficient of variation")
	for _, count := range []struct {
		name, what string
		value      *int
	}{
		{"dc", "datacenters", &vcenter.Datacenter},
		{"cluster", "clusters", &vcenter.Cluster},
		{"host", "hosts of each cluster", &vcenter.ClusterHost},
		{"standalone-host", "hosts outside clusters", &vcenter.Host},
		{"ds", "datastores", &vcenter.Datastore},
		{"vm", "virtual machines of each resource pool", &vcenter.Machine},
		{"pool", "resource pools of each cluster", &vcenter.Pool},
		{"app", "vApps of each cluster", &vcenter.App},
		{"pod", "datastore clusters of each datacenter", &vcenter.Pod},
		{"pg", "port groups", &vcenter.Portgroup},
		{"folder", "folders", &vcenter.Folder},
	} {
		flag.IntVar(count.value, count.name, *count.value, "`number` of "+count.what)
	}
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}

	if *trace || *traceTo != "" {
		simulator.Trace = true
		if *traceTo != "" {
			file, err := os.Create(*traceTo)
			check(err)
			simulator.TraceFile = file
		}
	}

	model := vcenter
	if *esx {
		model = simulator.ESX()
		model.Datastore, model.Machine, model.Autostart = vcenter.Datastore, vcenter.Machine, vcenter.Autostart
		model.DelayConfig = vcenter.DelayConfig
	}
	model.DelayConfig.MethodDelay = methodDelays(*slow)
	simulator.TaskDelay.MethodDelay = model.DelayConfig.MethodDelay
	model.ServiceContent.About.FullName += " (govmomi simulator)"
	model.ServiceContent.About.OsType = runtime.GOOS + "-" + runtime.GOARCH

	// Heard from here on, so that a signal during start still removes the model.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)

	if *load != "" {
		check(model.Load(*load))
	} else {
		check(model.Create())
	}
	model.Service.RegisterEndpoints = true
	model.Service.Listen = &url.URL{Host: *listen}
	if *username != "" {
		model.Service.Listen.User = url.UserPassword(*username, *password)
	}
	if *secure {
		model.Service.TLS = new(tls.Config)
		if *cert != "" {
			pair, err := tls.LoadX509KeyPair(*cert, *key)
			check(err)
			model.Service.TLS.Certificates = []tls.Certificate{pair}
		}
	}
	server := model.Service.NewServer()

	out := os.Stdout
	if *announce != "-" {
		file, err := os.OpenFile(*announce, os.O_WRONLY, 0)
		check(err)
		out = file
	}
	_, err := fmt.Fprintf(out, "export GOVC_URL=%s GOVC_SIM_PID=%d\n", server.URL, os.Getpid())
	check(err)
	if out != os.Stdout {
		check(out.Close())
	}

	<-stop
	model.Remove()
}

// methodDelays reads METHOD:MS,...
func methodDelays(text string) map[string]int {
	if text == "" {
		return nil
	}
	delays := make(map[string]int)
	for item := range strings.SplitSeq(text, ",") {
		method, delay, _ := strings.Cut(strings.TrimSpace(item), ":")
		ms, err := strconv.Atoi(delay)
		if method == "" || err != nil {
			log.Fatalf("-method-delay: %q is not METHOD:MS", item)
		}
		delays[method] = ms
	}
	return delays
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
