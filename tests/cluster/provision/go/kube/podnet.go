package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	networkConfiguration = "/etc/cni/net.d/10-podnet.conflist"
	retryDelay           = time.Second
	repairInterval       = time.Minute
)

// podnet is this node's share of the pod network.
type podnet struct {
	node          string
	podSubnet     string
	serviceSubnet string
	nodes         listers.NodeLister
}

// connectPods runs on every node in place of kind's network daemon, which is no Go module. It
// tells the container runtime which addresses to hand out, routes the other nodes' pod ranges
// over the nodes' shared network, and masquerades what leaves the cluster. IPv4 only; network
// policies are not its business.
func connectPods() error {
	configuration, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	// The service address works only once kube-proxy runs, and retries of that would take longer
	// than everything else a node waits for; kind names the API server itself.
	if endpoint := os.Getenv("CONTROL_PLANE_ENDPOINT"); endpoint != "" {
		configuration.Host = "https://" + endpoint
	}
	client, err := kubernetes.NewForConfig(configuration)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	if _, err := nodes.Informer().AddEventHandler(onAnyEvent(changed)); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	network := podnet{
		os.Getenv("NODE_NAME"), os.Getenv("POD_SUBNET"), os.Getenv("SERVICE_SUBNET"), nodes.Lister(),
	}
	network.follow(ctx, changed)
	return nil
}

func onAnyEvent(changed chan<- struct{}) cache.ResourceEventHandler {
	note := func() {
		select {
		case changed <- struct{}{}:
		default: // one pending round covers any number of events
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { note() },
		UpdateFunc: func(any, any) { note() },
		DeleteFunc: func(any) { note() },
	}
}

// follow repairs the network whenever a node changes, and now and then without a reason, since
// rules and routes can also vanish on their own.
func (p podnet) follow(ctx context.Context, changed <-chan struct{}) {
	for {
		wait := repairInterval
		if err := p.repair(); err != nil {
			klog.ErrorS(err, "pod network incomplete")
			wait = retryDelay
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(wait):
		}
	}
}

func (p podnet) repair() error {
	nodes, err := p.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := p.connect(node); err != nil {
			return fmt.Errorf("node %s: %w", node.Name, err)
		}
	}
	if err := p.refuseStrays(); err != nil {
		return err
	}
	return p.masquerade()
}

// refuseStrays ends what is sent to a pod that is gone, or to a service in the moment in which
// kube-proxy has no rule for it: it would leave by the default route, and whatever answers outside
// the cluster would be taken for the pod or the service.
func (p podnet) refuseStrays() error {
	_, pods, err := net.ParseCIDR(p.podSubnet)
	if err != nil {
		return err
	}
	if err := netlink.RouteReplace(&netlink.Route{Dst: pods, Type: syscall.RTN_UNREACHABLE}); err != nil {
		return err
	}
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		// A service's address that is still there after the translation was not translated.
		if err := ensure("filter", chain, "--destination", p.serviceSubnet, "--jump", "REJECT"); err != nil {
			return err
		}
	}
	return nil
}

func (p podnet) connect(node *core.Node) error {
	if node.Spec.PodCIDR == "" {
		return nil // the controller manager has not assigned a range yet
	}
	if node.Name == p.node {
		return configureRuntime(node.Spec.PodCIDR)
	}
	_, pods, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return err
	}
	for _, address := range node.Status.Addresses {
		if address.Type != core.NodeInternalIP {
			continue
		}
		route := &netlink.Route{Dst: pods, Gw: net.ParseIP(address.Address)}
		return netlink.RouteReplace(route)
	}
	return nil
}

// masquerade hides pod addresses from everything outside the cluster: only the nodes have
// routes to them.
func (p podnet) masquerade() error {
	return ensure("nat", "POSTROUTING", "--source", p.podSubnet, "!", "--destination", p.podSubnet,
		"--match", "addrtype", "!", "--dst-type", "LOCAL", "--jump", "MASQUERADE")
}

// ensure appends a rule to a chain unless it is there.
func ensure(table, chain string, rule ...string) error {
	if iptables(table, "--check", chain, rule) == nil {
		return nil
	}
	return iptables(table, "--append", chain, rule)
}

func iptables(table, action, chain string, rule []string) error {
	arguments := append([]string{"--wait", "--table", table, action, chain}, rule...)
	if output, err := exec.Command("iptables", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("iptables: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// configureRuntime writes the file whose presence makes the node Ready.
func configureRuntime(podRange string) error {
	uplink, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	wanted, err := json.MarshalIndent(plugins(podRange, uplink.Attrs().MTU), "", "  ")
	if err != nil {
		return err
	}
	if present, err := os.ReadFile(networkConfiguration); err == nil && bytes.Equal(present, wanted) {
		return nil
	}
	// The runtime watches the directory: only a rename shows it the whole file at once.
	draft := filepath.Join(filepath.Dir(networkConfiguration), ".podnet.draft")
	if err := os.WriteFile(draft, wanted, 0o644); err != nil {
		return err
	}
	return os.Rename(draft, networkConfiguration)
}

// plugins describes a routed veth pair for each pod, with host ports.
func plugins(podRange string, mtu int) map[string]any {
	type object = map[string]any
	addresses := object{
		"type":    "host-local",
		"dataDir": "/run/podnet/addresses",
		"ranges":  [][]object{{{"subnet": podRange}}},
		"routes":  []object{{"dst": "0.0.0.0/0"}},
	}
	return object{
		"cniVersion": "0.3.1",
		"name":       "podnet",
		"plugins": []object{
			{"type": "ptp", "mtu": mtu, "ipMasq": false, "ipam": addresses},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}
}
