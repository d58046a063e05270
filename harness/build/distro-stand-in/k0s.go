package main

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	dataDirectory = "/var/lib/k0s"
	runDirectory  = "/run/k0s"
)

// The flags of `k0s controller`, as documented.
var k0sFlags = map[string]kind{
	"api-server-stop-timeout":             text,
	"config":                              text,
	"cri-socket":                          text,
	"data-dir":                            text,
	"debug":                               boolean,
	"debugListenOn":                       text,
	"disable-components":                  list,
	"enable-cloud-provider":               boolean,
	"enable-dynamic-config":               boolean,
	"enable-k0s-cloud-provider":           boolean,
	"enable-metrics-scraper":              boolean,
	"enable-worker":                       boolean,
	"feature-gates":                       list,
	"init-only":                           boolean,
	"iptables-mode":                       text,
	"k0s-cloud-provider-port":             text,
	"k0s-cloud-provider-update-frequency": text,
	"kube-controller-manager-extra-args":  text,
	"kubelet-extra-args":                  text,
	"kubelet-root-dir":                    text,
	"labels":                              list,
	"logging":                             list,
	"no-taints":                           boolean,
	"profile":                             text,
	"single":                              boolean,
	"status-socket":                       text,
	"taints":                              list,
	"token-file":                          text,
	"verbose":                             boolean,
}

// What can be left out of k0s.
var k0sComponents = []string{
	"applier-manager", "autopilot", "control-api", "coredns", "csr-approver", "endpoint-reconciler",
	"helm", "konnectivity-server", "kube-controller-manager", "kube-proxy", "kube-scheduler",
	"metrics-server", "network-provider", "node-role", "system-rbac", "windows-node", "worker-config",
}

// What can be left out from a minor version on.
var k0sLaterComponents = map[string]int{"update-prober": 34}

// Those that it must be told to leave out: the stand-in does not have them.
var k0sAbsent = []string{"konnectivity-server", "kube-scheduler"}

// What k0s uses of root's rights when its users exist, by the kernel's numbers.
var k0sCapabilities = map[string]uint{
	"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7,
}

func k0s(arguments []string) error {
	if len(arguments) == 0 || arguments[0] != "controller" {
		return errors.New("only `k0s controller` is stood in for")
	}
	given, rest, err := parse(arguments[1:], k0sFlags)
	if err != nil {
		return err
	}
	if err := checkK0s(given, rest); err != nil {
		return err
	}
	config, err := readConfig(given.text("config", "/etc/k0s/k0s.yaml"))
	if err != nil {
		return err
	}
	user, err := lookUp("kube-apiserver")
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("it must be root, whose rights it gives up for the programs that it starts")
	}
	if user != 0 {
		if err := checkCapabilities(); err != nil {
			return err
		}
	}
	pki := filepath.Join(dataDirectory, "pki")
	for name, mode := range map[string]os.FileMode{"": 0o751, "ca.crt": 0o644, "ca.key": 0o640} {
		if err := hasMode(filepath.Join(pki, name), mode); err != nil {
			return err
		}
	}
	return startK0s(config, pki, user)
}

func checkK0s(given flags, rest []string) error {
	if len(rest) > 0 || len(given["token-file"]) > 0 {
		return errors.New("it would join another controller")
	}
	if given.is("single") || given.is("enable-worker") {
		return errors.New("a worker would be started")
	}
	if given.text("data-dir", dataDirectory) != dataDirectory {
		return errors.New("this stand-in has one place for its data: " + dataDirectory)
	}
	disabled := given.split("disable-components")
	for _, name := range disabled {
		if !slices.Contains(k0sComponents, name) && !isLater(name) {
			return fmt.Errorf("unknown component %s", name)
		}
	}
	for _, name := range k0sAbsent {
		if !slices.Contains(disabled, name) {
			return fmt.Errorf("failed to stage %s: this stand-in does not have it", name)
		}
	}
	return nil
}

// isLater tells whether this version can leave out a component that older ones cannot.
func isLater(component string) bool {
	since, known := k0sLaterComponents[component]
	this, err := strconv.Atoi(minor)
	return known && err == nil && this >= since
}

// lookUp gives the number of a user; of one that does not exist that of root, as k0s does.
func lookUp(name string) (int, error) {
	file, err := os.Open("/etc/passwd")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) > 2 && fields[0] == name {
			return strconv.Atoi(fields[2])
		}
	}
	fmt.Fprintf(os.Stderr, "stand-in for k0s: no user %s, running as root\n", name)
	return 0, nil
}

// checkCapabilities tells what k0s would only show by never becoming ready.
func checkCapabilities() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "CapEff:\t")
	line, _, _ := strings.Cut(after, "\n")
	effective, err := strconv.ParseUint(line, 16, 64)
	if err != nil {
		return fmt.Errorf("could not read the capabilities: %w", err)
	}
	for name, bit := range k0sCapabilities {
		if effective&(1<<bit) == 0 {
			return fmt.Errorf("it has no capability %s and would never become ready", name)
		}
	}
	return nil
}

// k0sStore is what k0s keeps its objects in: etcd, or a database that kine speaks to, which is a file unless
// the configuration says where.
func k0sStore(config *clusterConfig, pki string, user int) (store, error) {
	if config.Spec.Storage.Type == "etcd" {
		return k0sEtcd(pki, user)
	}
	directory := filepath.Join(dataDirectory, "db")
	socket := filepath.Join(runDirectory, "kine", "kine.sock:2379")
	err := errors.Join(owned(directory, 0o750, user), owned(filepath.Dir(socket), 0o755, user))
	if err != nil {
		return store{}, err
	}
	if kineConfig := config.Spec.Storage.Kine; kineConfig != nil && kineConfig.DataSource != "" {
		return kine(kineConfig.DataSource, socket), nil
	}
	return kine(sqlite(directory), socket), nil
}

// k0sEtcd has an authority of its own, which may be the one of the rest.
func k0sEtcd(pki string, user int) (store, error) {
	directory := filepath.Join(dataDirectory, "etcd")
	if err := owned(directory, 0o700, user); err != nil {
		return store{}, err
	}
	authority, err := readAuthority(pki, "etcd/ca")
	if err != nil {
		return store{}, err
	}
	server, err := authority.server(pki, "etcd/server", "etcd-server", localHosts)
	if err != nil {
		return store{}, err
	}
	client, err := authority.client(pki, "apiserver-etcd-client", "apiserver-etcd-client", "apiserver-etcd-client")
	if err != nil {
		return store{}, err
	}
	for _, path := range []string{server.key, client.key} {
		if err := os.Chown(path, user, -1); err != nil {
			return store{}, err
		}
	}
	return etcd(directory, filepath.Join(pki, "etcd/ca.crt"), server, client), nil
}

// owned makes a directory that belongs to the user.
func owned(directory string, mode os.FileMode, user int) error {
	if err := os.MkdirAll(directory, mode); err != nil {
		return err
	}
	return errors.Join(os.Chown(directory, user, -1), os.Chmod(directory, mode))
}

func hasMode(path string, mode os.FileMode) error {
	found, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("an authority would be made anew: %w", err)
	}
	if found.Mode().Perm() != mode {
		return fmt.Errorf("%s has mode %o and should have %o", path, found.Mode().Perm(), mode)
	}
	return nil
}

func startK0s(config *clusterConfig, pki string, user int) error {
	authority, err := readAuthority(pki, "ca")
	if err != nil {
		return err
	}
	frontProxy, err := readAuthority(pki, "front-proxy-ca")
	if err != nil {
		return err
	}
	if name := authority.certificate.Subject.CommonName; name != "kubernetes-ca" {
		return fmt.Errorf("with an authority called %s old certificates would be kept for ever", name)
	}
	api, network := config.Spec.API, config.Spec.Network
	hosts := append([]string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster",
		"kubernetes.default.svc." + network.ClusterDomain, "127.0.0.1", "localhost",
		first(network.ServiceCIDR),
	}, api.SANs...)
	server, err := authority.server(pki, "server", "kubernetes", hosts)
	if err != nil {
		return err
	}
	administrator, err := authority.client(pki, "admin", "kubernetes-admin", "system:masters")
	if err != nil {
		return err
	}
	kubelet, err := authority.client(pki, "apiserver-kubelet-client", "apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	controller, err := authority.client(pki, "ccm", "system:kube-controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	proxy, err := frontProxy.client(pki, "front-proxy-client", "front-proxy-client", "front-proxy-client")
	if err != nil {
		return err
	}
	port := strconv.Itoa(api.Port)
	ca := filepath.Join(pki, "ca.crt")
	controllerConfig := filepath.Join(pki, "ccm.conf")
	if err := kubeconfig(controllerConfig, port, ca, controller); err != nil {
		return err
	}
	private := []string{
		filepath.Join(pki, "sa.key"), filepath.Join(pki, "ca.key"), server.key, kubelet.key,
		controller.key, proxy.key, controllerConfig,
	}
	for _, path := range private {
		if err := os.Chown(path, user, -1); err != nil {
			return err
		}
	}
	objects, err := k0sStore(config, pki, user)
	if err != nil {
		return err
	}
	apiserver := settings{
		"advertise-address":                  api.Address,
		"allow-privileged":                   "true",
		"anonymous-auth":                     "false",
		"api-audiences":                      "https://kubernetes.default.svc,system:konnectivity-server",
		"authorization-mode":                 "Node,RBAC",
		"client-ca-file":                     ca,
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"kubelet-certificate-authority":      ca,
		"kubelet-client-certificate":         kubelet.certificate,
		"kubelet-client-key":                 kubelet.key,
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"profiling":                          "false",
		"proxy-client-cert-file":             proxy.certificate,
		"proxy-client-key-file":              proxy.key,
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-client-ca-file":       filepath.Join(pki, "front-proxy-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"secure-port":                        port,
		"service-account-issuer":             "https://kubernetes.default.svc",
		"service-account-jwks-uri":           "https://kubernetes.default.svc/openid/v1/jwks",
		"service-account-key-file":           filepath.Join(pki, "sa.pub"),
		"service-account-signing-key-file":   filepath.Join(pki, "sa.key"),
		"service-cluster-ip-range":           network.ServiceCIDR,
		"tls-cert-file":                      server.certificate,
		"tls-private-key-file":               server.key,
	}
	controllers := settings{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        controllerConfig,
		"authorization-kubeconfig":         controllerConfig,
		"bind-address":                     "127.0.0.1",
		"client-ca-file":                   ca,
		"cluster-cidr":                     network.PodCIDR,
		"cluster-name":                     "k0s",
		"cluster-signing-cert-file":        ca,
		"cluster-signing-key-file":         filepath.Join(pki, "ca.key"),
		"controllers":                      "*,bootstrapsigner,tokencleaner",
		"kubeconfig":                       controllerConfig,
		"leader-elect":                     "true",
		"node-cidr-mask-size":              "24",
		"profiling":                        "false",
		"requestheader-client-ca-file":     filepath.Join(pki, "front-proxy-ca.crt"),
		"root-ca-file":                     ca,
		"service-account-private-key-file": filepath.Join(pki, "sa.key"),
		"service-cluster-ip-range":         network.ServiceCIDR,
		"terminated-pod-gc-threshold":      "12500",
		"use-service-account-credentials":  "true",
	}
	maps.Copy(apiserver, objects.access)
	maps.Copy(apiserver, api.ExtraArgs)
	maps.Copy(controllers, config.Spec.ControllerManager.ExtraArgs)
	upstream := parts{
		user:          user,
		retell:        quoted,
		store:         objects,
		port:          port,
		apiserver:     apiserver,
		controllers:   controllers,
		authority:     authority,
		administrator: administrator,
	}
	return upstream.run()
}
