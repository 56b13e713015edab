// Every Kubernetes command that a kind node and its control plane run, as one static binary.
//
// One binary instead of seven: they share nearly all their code, so this links once, takes a
// quarter of the space in the node image, and builds in the time of the largest of them.
// Like busybox, it acts as the command whose name it is called by.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	run := command(filepath.Base(os.Args[0]))
	if run == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		run = command(os.Args[0])
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, "called by none of the names that this binary knows:", os.Args[0])
		os.Exit(2)
	}
	os.Exit(run())
}

func command(name string) func() int {
	switch name {
	case "kube-apiserver":
		return cobraCommand(apiserver.NewAPIServerCommand)
	case "kube-controller-manager":
		return cobraCommand(controllers.NewControllerManagerCommand)
	case "kube-scheduler":
		return cobraCommand(func() *cobra.Command { return scheduler.NewSchedulerCommand() })
	case "kube-proxy":
		return cobraCommand(proxy.NewProxyCommand)
	case "kubelet":
		return cobraCommand(newKubelet)
	case "kubectl":
		return cobraCommand(kubectl.NewDefaultKubectlCommand)
	case "kubeadm":
		return plainCommand(kubeadm.Run)
	case "crictl":
		return plainCommand(queryImages)
	case "podnet":
		return plainCommand(connectPods)
	}
	return nil
}

// Building a command registers flags and metrics, so only the one that runs is ever built.
func cobraCommand(build func() *cobra.Command) func() int {
	return func() int { return cli.Run(build()) }
}

func newKubelet() *cobra.Command {
	return kubelet.NewKubeletCommand(context.Background())
}

func plainCommand(run func() error) func() int {
	return func() int {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		}
		return 0
	}
}
