package manifests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// types are those that the objects are decoded to, by their kind.
var kinds = map[string]func() any{
	"Deployment":              func() any { return &apps.Deployment{} },
	"Service":                 func() any { return &core.Service{} },
	"ServiceAccount":          func() any { return &core.ServiceAccount{} },
	"ConfigMap":               func() any { return &core.ConfigMap{} },
	"Ingress":                 func() any { return &networking.Ingress{} },
	"NetworkPolicy":           func() any { return &networking.NetworkPolicy{} },
	"PodDisruptionBudget":     func() any { return &policy.PodDisruptionBudget{} },
	"HorizontalPodAutoscaler": func() any { return &autoscaling.HorizontalPodAutoscaler{} },
	"Job":                     func() any { return &batch.Job{} },
	"ServiceMonitor":          func() any { return &monitoring.ServiceMonitor{} },
	"PodMonitor":              func() any { return &monitoring.PodMonitor{} },
	"PrometheusRule":          func() any { return &monitoring.PrometheusRule{} },
}

// schemas are those of custom resources whose Go types can't be had without their
// operators, from the operators' own releases (testdata/README.md).
var schemas = map[string]string{
	"Cluster": "testdata/cluster.json", "ScheduledBackup": "testdata/scheduledbackup.json", "ObjectStore": "testdata/objectstore.json",
}

// custom is what the tests read of custom resources that have a schema alone.
type custom struct {
	Spec struct {
		Bootstrap struct {
			InitDB struct {
				SQL struct {
					ConfigMapRefs []core.ConfigMapKeySelector `json:"configMapRefs"`
				} `json:"postInitApplicationSQLRefs"`
			} `json:"initdb"`
		} `json:"bootstrap"`
		Managed struct {
			Roles []struct {
				PasswordSecret core.LocalObjectReference `json:"passwordSecret"`
			} `json:"roles"`
		} `json:"managed"`
		Plugins []struct {
			Parameters map[string]string `json:"parameters"`
		} `json:"plugins"`
		Cluster       core.LocalObjectReference `json:"cluster"` // of a ScheduledBackup
		Configuration struct {
			S3Credentials map[string]core.SecretKeySelector `json:"s3Credentials"`
		} `json:"configuration"` // of an ObjectStore
	} `json:"spec"`
}

// objects are those of an overlay by kind and name.
type objects map[string]any

// build builds an overlay as "kubectl apply -k" does, and decodes each object without
// allowing a field that its kind has not.
func build(t *testing.T, overlay string) objects {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // that of kubectl
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), "../kubernetes/"+overlay)
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for _, resource := range built.Resources() {
		content, err := resource.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		name := resource.GetKind() + " " + resource.GetName()
		if resource.GetNamespace() != "fixdesk" {
			t.Errorf("%s is in the namespace %q", name, resource.GetNamespace())
		}
		if all[name], err = decode(resource.GetKind(), content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return all
}

func decode(kind string, content []byte) (any, error) {
	if path, ok := schemas[kind]; ok {
		object := &custom{}
		if err := checkSchema(path, content); err != nil {
			return nil, err
		}
		return object, json.Unmarshal(content, object)
	}
	make, known := kinds[kind]
	if !known {
		return nil, fmt.Errorf("unknown kind %s", kind)
	}
	object := make()
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	return object, decoder.Decode(object)
}

func TestUnknownFieldsAreRefused(t *testing.T) { // the control
	for kind, content := range map[string]string{
		"Deployment": `{"spec": {"replica": 3}}`, "Cluster": `{"spec": {"instances": 3, "instance": 3}}`,
		"ObjectStore": `{"spec": {"configuration": {"destinationPath": 3}}}`, "Pod": `{}`,
	} {
		if _, err := decode(kind, []byte(content)); err == nil {
			t.Errorf("%s: %s is accepted", kind, content)
		}
	}
}

func TestBothOverlaysRunTheServicesHardenedAndStopThemInOrder(t *testing.T) {
	for _, overlay := range []string{"small", "production"} {
		all := build(t, overlay)
		for _, service := range []string{"crm", "notification"} {
			d, ok := all["Deployment "+service].(*apps.Deployment)
			if !ok {
				t.Fatalf("%s: no Deployment %s", overlay, service)
			}
			pod := d.Spec.Template.Spec
			checkHardened(t, overlay+" "+service, pod)
			checkProbes(t, overlay+" "+service, pod)
			settings := all.settings(t, pod.Containers[0])
			checkNames(t, settings)
			delay, err := time.ParseDuration(settings[strings.ToUpper(service)+"_DRAIN_DELAY"])
			probe := pod.Containers[0].ReadinessProbe
			noticed := time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second
			const shutdown = 8 * time.Second // the default of …_SHUTDOWN_TIMEOUT
			grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
			if err != nil || delay <= noticed || grace <= delay+shutdown {
				t.Errorf("%s %s: the grace of %s must be above the drain delay of %s and the shutdown timeout, and the delay above %s", overlay, service, grace, delay, noticed)
			}
			if !strings.HasPrefix(pod.Containers[0].Image, "registry.example.com/fixdesk/"+service+":") {
				t.Errorf("%s %s runs %s", overlay, service, pod.Containers[0].Image)
			}
		}
	}
}

func checkHardened(t *testing.T, name string, pod core.PodSpec) {
	t.Helper()
	p, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	if !*p.RunAsNonRoot || *p.RunAsUser != 10001 || *p.FSGroup != 10001 || p.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault ||
		!*c.ReadOnlyRootFilesystem || *c.AllowPrivilegeEscalation || len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" ||
		*pod.AutomountServiceAccountToken || *pod.EnableServiceLinks {
		t.Errorf("%s is not hardened: %+v %+v", name, p, c)
	}
	for _, e := range pod.Containers[0].Env {
		if (strings.HasSuffix(e.Name, "PASSWORD") || strings.HasSuffix(e.Name, "SECRET") || strings.HasSuffix(e.Name, "DATABASE_URL")) && e.Value != "" {
			t.Errorf("%s: %s is not in a file", name, e.Name)
		}
	}
}

func checkProbes(t *testing.T, name string, pod core.PodSpec) {
	t.Helper()
	c := pod.Containers[0]
	if c.StartupProbe.HTTPGet.Path != "/healthz" || c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("%s has other probes", name)
	}
}

// settings are the variables of a container, with those of its ConfigMaps.
func (o objects) settings(t *testing.T, c core.Container) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, from := range c.EnvFrom {
		m, ok := o["ConfigMap "+from.ConfigMapRef.Name].(*core.ConfigMap)
		if !ok {
			t.Errorf("there is no ConfigMap %s", from.ConfigMapRef.Name)
			continue
		}
		for name, value := range m.Data {
			all[name] = value
		}
	}
	for _, e := range c.Env {
		all[e.Name] = e.Value
	}
	return all
}

// checkNames checks that the services have these variables.
func checkNames(t *testing.T, settings map[string]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range settings {
		known := regexp.MustCompile(`(?m)^  ` + name + `(=|$)`).Match(page)
		file := strings.HasSuffix(name, "_FILE") && strings.Contains(strings.Join(strings.Fields(string(page)), " "), "file in "+name+")")
		if !known && !file {
			t.Errorf("there is no variable %s", name)
		}
	}
}

func TestProductionIsSpreadScaledBackedUpAndWatched(t *testing.T) {
	all := build(t, "production")
	for _, service := range []string{"crm", "notification"} {
		d := all["Deployment "+service].(*apps.Deployment)
		if len(d.Spec.Template.Spec.TopologySpreadConstraints) != 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
			t.Errorf("%s: %+v", service, d.Spec)
		}
		settings := all.settings(t, d.Spec.Template.Spec.Containers[0])
		if settings[strings.ToUpper(service)+"_MIGRATE"] != "off" {
			t.Errorf("%s migrates at its start", service)
		}
		b := all["PodDisruptionBudget "+service].(*policy.PodDisruptionBudget)
		h := all["HorizontalPodAutoscaler "+service].(*autoscaling.HorizontalPodAutoscaler)
		if b.Spec.MinAvailable.IntValue() != 2 || b.Spec.Selector.MatchLabels["app.kubernetes.io/name"] != service || *h.Spec.MinReplicas != 3 || h.Spec.ScaleTargetRef.Name != service {
			t.Errorf("%s: %+v, %+v", service, b.Spec, h.Spec)
		}
		j := all["Job "+service+"-migrate"].(*batch.Job)
		pod := j.Spec.Template.Spec
		checkHardened(t, service+"-migrate", pod)
		checkNames(t, all.settings(t, pod.Containers[0]))
		if len(pod.Containers[0].Args) != 1 || pod.Containers[0].Args[0] != "migrate" || pod.Containers[0].Image != d.Spec.Template.Spec.Containers[0].Image {
			t.Errorf("%s is migrated by %+v", service, pod.Containers[0])
		}
		for _, name := range []string{"Cluster " + service + "-db", "ScheduledBackup " + service + "-db", "NetworkPolicy " + service} {
			if _, ok := all[name]; !ok {
				t.Errorf("there is no %s", name)
			}
		}
	}
	for _, name := range []string{"ObjectStore backup", "ServiceMonitor fixdesk", "PrometheusRule fixdesk", "Ingress fixdesk"} {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestRoleOfKubernetesIsThatOfTheRepository(t *testing.T) {
	a, err := os.ReadFile("../kubernetes/production/serving-role.sql")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../db/serving-role.sql")
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("deploy/kubernetes/production/serving-role.sql is not a copy of db/serving-role.sql (%v)", err)
	}
}
