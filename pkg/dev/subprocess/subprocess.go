// Package subprocess runs child processes that end with the program that started
// them: on Linux the kernel signals them when it ends, however it ends.
package subprocess

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// killGrace is how long Stop waits after SIGKILL for the kernel to end
// the process.
const killGrace = 5 * time.Second

// Process is a started child.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts cmd in a process group of its own, so that a ctrl-C in the
// terminal reaches the parent alone, which then stops its children in the
// order it wants. On Linux the child gets the signal onParentDeath when the
// parent ends without stopping it. Elsewhere it doesn't, and the next start must
// look for it.
//
// Fields of cmd.SysProcAttr that are already set, such as Credential, stay.
func Start(cmd *exec.Cmd, onParentDeath syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	signalOnParentDeath(cmd.SysProcAttr, onParentDeath)

	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// run keeps its OS thread until the child ends, since the kernel sends its signal
// when the thread that forked ends, not when the process does.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the child ended, nil for exit code 0. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends sig to the child. A child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.Pid(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.Pid(), err)
	}
	return nil
}

// Stop sends each signal in turn, giving the child until ctx ends after the
// first and two seconds after each later one, and SIGKILL at last. It returns
// an error only if a later signal than the first was needed.
func (p *Process) Stop(ctx context.Context, signals ...syscall.Signal) error {
	for i, sig := range append(signals, syscall.SIGKILL) {
		if err := p.Signal(sig); err != nil {
			return err
		}
		if i > 0 {
			next, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			ctx = next
		}
		select {
		case <-p.done:
			if i > 0 {
				return fmt.Errorf("process %d had to be stopped with %v", p.Pid(), sig)
			}
			return nil
		case <-ctx.Done():
		}
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(killGrace):
		return fmt.Errorf("process %d does not end after SIGKILL", p.Pid())
	}
}
