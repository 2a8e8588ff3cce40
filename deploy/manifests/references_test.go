package manifests

import (
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const page = "../../docs/kubernetes.md"

func readPage(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestWhatTheObjectsNameExists(t *testing.T) {
	for _, overlay := range []string{"small", "production"} {
		for _, fault := range build(t, overlay).missing(readPage(t)) {
			t.Errorf("%s: %s", overlay, fault)
		}
	}
}

func TestMissingObjectsAreFound(t *testing.T) { // the control
	page := readPage(t)
	for _, tt := range []struct {
		want   string
		damage func(objects)
	}{
		{"ServiceAccount fixdesk", func(o objects) { delete(o, "ServiceAccount fixdesk") }},
		{"a secret", func(o objects) { o.deployment("crm").Spec.Volumes[1].Secret.SecretName = "crm-2" }},
		{"a secret's key", func(o objects) { o.deployment("crm").Spec.Containers[0].Env[0].Value += "-2" }},
		{"a mount", func(o objects) { o.deployment("crm").Spec.Containers[0].VolumeMounts[1].MountPath += "-2" }},
		{"a port of a Service", func(o objects) { o.deployment("crm").Spec.Containers[0].Ports[1].Name = "metrics" }},
		{"pods of a Service", func(o objects) { o.deployment("crm").Labels = nil }},
		{"a Service of the Ingress", func(o objects) { delete(o, "Service crm") }},
		{"what is scaled", func(o objects) {
			o["HorizontalPodAutoscaler crm"].(*autoscaling.HorizontalPodAutoscaler).Spec.ScaleTargetRef.Name = "crm-2"
		}},
		{"replicas of what is scaled", func(o objects) {
			o["Deployment crm"].(*apps.Deployment).Spec.Replicas = new(int32(3))
		}},
		{"Services of the ServiceMonitor", func(o objects) {
			o["ServiceMonitor fixdesk"].(*monitoring.ServiceMonitor).Spec.Endpoints[0].Port = "metrics"
		}},
		{"pods of the NetworkPolicy", func(o objects) {
			o["NetworkPolicy crm"].(*networking.NetworkPolicy).Spec.Ingress[0].Ports[0].Port = new(intstr.FromString("https"))
		}},
		{"the SQL of a Cluster", func(o objects) { delete(o, "ConfigMap serving-role") }},
		{"the store of the backups", func(o objects) { delete(o, "ObjectStore backup") }},
		{"the database of the PodMonitor", func(o objects) { delete(o, "Cluster crm-db") }},
	} {
		all := build(t, "production")
		tt.damage(all)
		if len(all.missing(page)) == 0 {
			t.Errorf("it isn't noticed that %s is missing", tt.want)
		}
	}
}

func TestNoSecretIsAnArgumentOfTheCommandsOnThePage(t *testing.T) {
	for line := range strings.Lines(readPage(t)) {
		if strings.HasPrefix(line, "kubectl ") && regexp.MustCompile(`\$\(|--env|--from-literal=password`).MatchString(line) {
			t.Errorf("its value is in a pod's spec or in the list of processes: %s", line)
		}
	}
}

func (o objects) deployment(name string) *core.PodTemplateSpec {
	return &o["Deployment "+name].(*apps.Deployment).Spec.Template
}

// missing is what the objects name and is neither among them nor, if it is a secret,
// on the page.
func (o objects) missing(page string) []string {
	var faults []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		switch object := o[name].(type) {
		case *apps.Deployment:
			o.checkPod(need, name, object.Spec.Template.Spec, page)
			need(selects(object.Spec.Selector, object.Spec.Template.Labels), "%s does not select its pods", name)
		case *batch.Job:
			o.checkPod(need, name, object.Spec.Template.Spec, page)
		case *core.Service:
			for _, port := range object.Spec.Ports {
				need(o.pods(meta.SetAsLabelSelector(object.Spec.Selector), port.TargetPort.StrVal) == 1, "%s has the port %s of no pod, or of several kinds", name, port.Name)
			}
		case *networking.Ingress:
			for _, rule := range object.Spec.Rules {
				for _, p := range rule.HTTP.Paths {
					service, ok := o["Service "+p.Backend.Service.Name].(*core.Service)
					need(ok && hasPort(service, p.Backend.Service.Port.Name), "%s leads to no Service", name)
				}
			}
			for _, tls := range object.Spec.TLS {
				need(mentions(page, tls.SecretName, ""), "%s has the secret %s, which the page does not", name, tls.SecretName)
			}
		case *networking.NetworkPolicy:
			for _, rule := range object.Spec.Ingress {
				for _, port := range rule.Ports {
					need(o.pods(&object.Spec.PodSelector, port.Port.StrVal) == 1, "%s is for the port %s of no pods", name, port.Port)
				}
				for _, from := range rule.From {
					need(from.PodSelector == nil || o.pods(from.PodSelector, "") == 1, "%s lets no pods in", name)
				}
			}
		case *policy.PodDisruptionBudget:
			need(o.pods(object.Spec.Selector, "") == 1, "%s is for no pods", name)
		case *autoscaling.HorizontalPodAutoscaler:
			target := object.Spec.ScaleTargetRef
			d, ok := o[target.Kind+" "+target.Name].(*apps.Deployment)
			need(ok && target.APIVersion == "apps/v1", "%s scales nothing", name)
			need(!ok || d.Spec.Replicas == nil, "%s: each apply would undo its number of replicas", name)
		case *monitoring.ServiceMonitor:
			need(o.scraped(object) == 2, "%s does not watch both services", name)
		case *monitoring.PodMonitor:
			for _, cluster := range object.Spec.Selector.MatchExpressions[0].Values {
				_, ok := o["Cluster "+cluster]
				need(ok, "%s watches %s, which there is not", name, cluster)
			}
		case *custom:
			o.checkCustom(need, name, object, page)
		}
	}
	return faults
}

func (o objects) checkCustom(need func(bool, string, ...any), name string, object *custom, page string) {
	for _, ref := range object.Spec.Bootstrap.InitDB.SQL.ConfigMapRefs {
		m, ok := o["ConfigMap "+ref.Name].(*core.ConfigMap)
		need(ok && m.Data[ref.Key] != "", "%s: there is no ConfigMap %s with %s", name, ref.Name, ref.Key)
	}
	for _, role := range object.Spec.Managed.Roles {
		need(mentions(page, role.PasswordSecret.Name, "password"), "%s has the secret %s, which the page does not make", name, role.PasswordSecret.Name)
	}
	for _, plugin := range object.Spec.Plugins {
		_, ok := o["ObjectStore "+plugin.Parameters["barmanObjectName"]]
		need(ok, "%s: there is no ObjectStore %s", name, plugin.Parameters["barmanObjectName"])
	}
	for _, secret := range object.Spec.Configuration.S3Credentials {
		need(mentions(page, secret.Name, secret.Key), "%s has the secret %s, which the page does not make", name, secret.Name)
	}
	if cluster := object.Spec.Cluster.Name; cluster != "" {
		_, ok := o["Cluster "+cluster]
		need(ok, "%s saves %s, which there is not", name, cluster)
	}
}

func (o objects) checkPod(need func(bool, string, ...any), name string, pod core.PodSpec, page string) {
	_, ok := o["ServiceAccount "+pod.ServiceAccountName]
	need(ok, "%s: there is no ServiceAccount %s", name, pod.ServiceAccountName)
	c := pod.Containers[0]
	for _, from := range c.EnvFrom {
		_, ok := o["ConfigMap "+from.ConfigMapRef.Name]
		need(ok, "%s: there is no ConfigMap %s", name, from.ConfigMapRef.Name)
	}
	for _, probe := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		need(probe == nil || exposes(pod, probe.HTTPGet.Port.StrVal), "%s: a probe has no port", name)
	}
	for _, e := range c.Env {
		if strings.HasSuffix(e.Name, "_FILE") {
			secret, key := secretOf(pod, e.Value)
			need(secret != "" && mentions(page, secret, key), "%s: %s is the key %q of the secret %q, which the page does not make", name, e.Name, key, secret)
		}
	}
}

// secretOf is the secret that is mounted at a path, and its key.
func secretOf(pod core.PodSpec, file string) (secret, key string) {
	for _, mount := range pod.Containers[0].VolumeMounts {
		if mount.MountPath != path.Dir(file) {
			continue
		}
		for _, volume := range pod.Volumes {
			if volume.Name == mount.Name && volume.Secret != nil {
				return volume.Secret.SecretName, path.Base(file)
			}
			if volume.Name != mount.Name || volume.Projected == nil {
				continue
			}
			for _, source := range volume.Projected.Sources {
				for _, item := range source.Secret.Items {
					if item.Path == path.Base(file) {
						return source.Secret.Name, item.Key
					}
				}
			}
		}
	}
	return "", ""
}

// mentions tells whether a line of the page has both the secret and its key.
func mentions(page, secret, key string) bool {
	word := func(s string) string { return `(^|[^\w-])` + regexp.QuoteMeta(s) + `($|[^\w-])` }
	for line := range strings.Lines(page) {
		if regexp.MustCompile(word(secret)).MatchString(line) && regexp.MustCompile(word(key)).MatchString(line) {
			return true
		}
	}
	return false
}

// pods is how many kinds of pods the selector matches that have the port.
func (o objects) pods(selector *meta.LabelSelector, port string) int {
	n := 0
	for _, object := range o {
		var template core.PodTemplateSpec
		switch object := object.(type) {
		case *apps.Deployment:
			template = object.Spec.Template
		case *batch.Job:
			template = object.Spec.Template
		default:
			continue
		}
		if selects(selector, template.Labels) && (port == "" || exposes(template.Spec, port)) {
			n++
		}
	}
	return n
}

func (o objects) scraped(monitor *monitoring.ServiceMonitor) int {
	n := 0
	for _, object := range o {
		if service, ok := object.(*core.Service); ok && selects(&monitor.Spec.Selector, service.Labels) && hasPort(service, monitor.Spec.Endpoints[0].Port) {
			n++
		}
	}
	return n
}

func selects(selector *meta.LabelSelector, of map[string]string) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && !s.Empty() && s.Matches(labels.Set(of))
}

func exposes(pod core.PodSpec, port string) bool {
	return slices.ContainsFunc(pod.Containers[0].Ports, func(p core.ContainerPort) bool { return p.Name == port })
}

func hasPort(service *core.Service, port string) bool {
	return slices.ContainsFunc(service.Spec.Ports, func(p core.ServicePort) bool { return p.Name == port })
}
