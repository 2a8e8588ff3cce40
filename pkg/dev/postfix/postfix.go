// Package postfix configures Debian's Postfix to run in a folder of its own, for the
// tests against real mail servers and for the benchmark. Running it needs root.
package postfix

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const mainSettings = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
`

const commonServices = ` inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
`

// Configure makes the folders of a Postfix with a queue of its own below dir, which its
// accounts must be able to enter, and returns the folder of its configuration, for
// postfix -c. It takes mail of this host by SMTP at address. settings are lines of main.cf
// and services of master.cf that are added.
func Configure(dir, address, settings, services string) (conf string, err error) {
	for _, d := range []string{"conf", "queue", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	conf = filepath.Join(dir, "conf")
	for name, text := range map[string]string{
		"main.cf":   fmt.Sprintf(mainSettings, dir) + settings,
		"master.cf": address + commonServices + services,
	} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if output, err := exec.Command("chown", "-R", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		return "", fmt.Errorf("give Postfix its folder: %w: %s", err, output)
	}
	return conf, nil
}
