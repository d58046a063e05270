package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// The configuration of k0s, with every key that is documented; of those that this project does not
// use only the name.
type clusterConfig struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		API struct {
			Address           string            `json:"address"`
			ExternalAddress   string            `json:"externalAddress"`
			ExtraArgs         map[string]string `json:"extraArgs"`
			K0sAPIPort        int               `json:"k0sApiPort"`
			OnlyBindToAddress bool              `json:"onlyBindToAddress"`
			Port              int               `json:"port"`
			RawArgs           []string          `json:"rawArgs"`
			SANs              []string          `json:"sans"`
			CA                any               `json:"ca"`
		} `json:"api"`
		ControllerManager component `json:"controllerManager"`
		Scheduler         component `json:"scheduler"`
		Network           struct {
			Calico                    any    `json:"calico"`
			ClusterDomain             string `json:"clusterDomain"`
			ControlPlaneLoadBalancing any    `json:"controlPlaneLoadBalancing"`
			CoreDNS                   any    `json:"coreDNS"`
			DualStack                 any    `json:"dualStack"`
			KubeProxy                 any    `json:"kubeProxy"`
			KubeRouter                any    `json:"kuberouter"`
			NodeLocalLoadBalancing    any    `json:"nodeLocalLoadBalancing"`
			PodCIDR                   string `json:"podCIDR"`
			Provider                  string `json:"provider"`
			ServiceCIDR               string `json:"serviceCIDR"`
		} `json:"network"`
		Storage struct {
			Etcd any `json:"etcd"`
			Kine *struct {
				DataSource string   `json:"dataSource"`
				RawArgs    []string `json:"rawArgs"`
			} `json:"kine"`
			Type string `json:"type"`
		} `json:"storage"`
		Telemetry struct {
			Enabled *bool `json:"enabled"`
		} `json:"telemetry"`
		Extensions     any `json:"extensions"`
		FeatureGates   any `json:"featureGates"`
		Images         any `json:"images"`
		InstallConfig  any `json:"installConfig"`
		Konnectivity   any `json:"konnectivity"`
		WorkerProfiles any `json:"workerProfiles"`
	} `json:"spec"`
}

type component struct {
	ExtraArgs map[string]string `json:"extraArgs"`
	RawArgs   []string          `json:"rawArgs"`
}

// readConfig reads the file, fills in what k0s would, and refuses what k0s would refuse.
func readConfig(path string) (*clusterConfig, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config := &clusterConfig{}
	config.Spec.API.Port = 6443
	config.Spec.Network.Provider = "kuberouter"
	config.Spec.Network.PodCIDR = "10.244.0.0/16"
	config.Spec.Network.ServiceCIDR = "10.96.0.0/12"
	config.Spec.Network.ClusterDomain = "cluster.local"
	config.Spec.Storage.Type = "etcd"
	if err := yaml.UnmarshalStrict(data, config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if config.Spec.API.Address == "" {
		if config.Spec.API.Address, err = ownAddress(); err != nil {
			return nil, err
		}
	}
	return config, config.check()
}

func (c *clusterConfig) check() error {
	api, network := c.Spec.API, c.Spec.Network
	checks := []error{
		oneOf("apiVersion", c.APIVersion, "k0s.k0sproject.io/v1beta1"),
		oneOf("kind", c.Kind, "ClusterConfig"),
		oneOf("storage type", c.Spec.Storage.Type, "etcd", "kine"),
		oneOf("network provider", network.Provider, "kuberouter", "calico", "custom"),
		isNetwork(network.PodCIDR),
		isNetwork(network.ServiceCIDR),
		isHost(network.ClusterDomain),
		isPort(strconv.Itoa(api.Port)),
	}
	if address := net.ParseIP(api.Address); address == nil || address.IsUnspecified() {
		checks = append(checks, fmt.Errorf("invalid address: %q", api.Address))
	}
	if kine := c.Spec.Storage.Kine; kine != nil && kine.DataSource != "" {
		checks = append(checks, checkEndpoint(kine.DataSource))
	}
	for _, name := range api.SANs {
		checks = append(checks, isHost(name))
	}
	for _, arguments := range []map[string]string{api.ExtraArgs, c.Spec.ControllerManager.ExtraArgs} {
		for name := range arguments {
			if strings.HasPrefix(name, "-") {
				checks = append(checks, fmt.Errorf("%q would be given with four dashes", name))
			}
		}
	}
	return errors.Join(checks...)
}

// ownAddress gives the first address of this machine that others can reach.
func ownAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, address := range addresses {
		if found, ok := address.(*net.IPNet); ok && found.IP.To4() != nil && found.IP.IsGlobalUnicast() {
			return found.IP.String(), nil
		}
	}
	return "", errors.New("this machine has no address")
}
