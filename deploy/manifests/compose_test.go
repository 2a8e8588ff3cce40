// Package manifests tests what other programs run Fixdesk by, each with that
// program's own library.
package manifests

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func load(t *testing.T, path string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{path}, cli.WithName("fixdesk"), cli.WithWorkingDirectory("../.."))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFileLoadsAndHardensTheServices(t *testing.T) {
	project := load(t, "../../docker-compose.yml")
	for _, name := range []string{"crm", "notification"} {
		if problems := hardened(project, name); len(problems) > 0 {
			t.Errorf("%s: %s", name, strings.Join(problems, ", "))
		}
	}
	if problems := hardened(project, "mailpit"); len(problems) < 5 { // the control
		t.Errorf("an ordinary service has only the problems %v", problems)
	}
	if got := project.Services["keys"].Build.Target; got != "crm" {
		t.Errorf("keys are made by %q", got)
	}
}

// hardened lists what a service lacks.
func hardened(project *types.Project, name string) (problems []string) {
	s := project.Services[name]
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, problem)
		}
	}
	check(s.ReadOnly, "its root can be written")
	check(slices.Equal(s.CapDrop, []string{"ALL"}), "it has capabilities")
	check(slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "it may get privileges")
	check(s.HealthCheck != nil && slices.Equal(s.HealthCheck.Test, types.HealthCheckTest{"CMD", "/usr/local/bin/" + name, "health", "--ready"}), "its health is not checked")
	check(s.StopGracePeriod != nil && time.Duration(*s.StopGracePeriod) > 8*time.Second, "it is killed before its shutdown timeout")
	check(s.Build != nil && s.Build.Target == name, "it has not its own image")
	check(s.Restart == "unless-stopped", "it is not restarted")
	files := 0
	for variable, value := range s.Environment {
		if strings.HasSuffix(variable, "_FILE") && value != nil && strings.HasPrefix(*value, "/run/secrets/") {
			files++
			secret := strings.TrimPrefix(*value, "/run/secrets/")
			check(slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == secret }), secret+" is not mounted")
			content, err := os.ReadFile(project.Secrets[secret].File)
			check(err == nil && len(content) > 0, secret+" has no file")
		}
		for _, word := range []string{"PASSWORD", "SECRET", "DATABASE_URL"} {
			check(!strings.HasSuffix(variable, word), variable+" is not in a file")
		}
	}
	check(files > 0, "it has no secrets from files")
	for _, port := range s.Ports {
		check(port.HostIP == "127.0.0.1", "other hosts reach port "+port.Published)
	}
	return problems
}
