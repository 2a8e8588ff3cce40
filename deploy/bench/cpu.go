package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc (proc(5), USER_HZ).
const clockTick = 10 * time.Millisecond

// spent is the CPU time, user and system, of processes of the services and of PostgreSQL
// so far, by their ids. crm has the floor's of reads, too.
type spent struct{ crm, notification, postgres, bench map[int]time.Duration }

func (s *stack) spent() spent {
	all := spent{map[int]time.Duration{}, map[int]time.Duration{}, map[int]time.Duration{}, map[int]time.Duration{os.Getpid(): cpuOf(os.Getpid())}}
	for _, svc := range s.services {
		of := all.crm
		if svc.Name == "notification" {
			of = all.notification
		}
		of[svc.Pid()] = cpuOf(svc.Pid())
	}
	for _, pid := range childrenOf(s.postgres.Pid()) {
		all.postgres[pid] = cpuOf(pid)
	}
	return all
}

// perRequest describes the time between two readings, shared by requests.
func (before spent) perRequest(after spent, requests int) string {
	if requests == 0 {
		return ""
	}
	return fmt.Sprintf("CPU a request: service %d µs, PostgreSQL %d µs, load %d µs", between(before.crm, after.crm).Microseconds()/int64(requests),
		between(before.postgres, after.postgres).Microseconds()/int64(requests), between(before.bench, after.bench).Microseconds()/int64(requests))
}

// perMail describes the time between two readings, shared by mails.
func (before spent) perMail(after spent, mails int) string {
	return fmt.Sprintf("CPU a mail: service %d µs, PostgreSQL %d µs",
		between(before.notification, after.notification).Microseconds()/int64(mails), between(before.postgres, after.postgres).Microseconds()/int64(mails))
}

// between is the time of those processes that still run.
func between(before, after map[int]time.Duration) (sum time.Duration) {
	for pid, at := range after {
		sum += at - before[pid]
	}
	return sum
}

// cpuOf reads utime and stime of /proc/pid/stat; 0 where there is none.
func cpuOf(pid int) time.Duration {
	fields := statFields(pid)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick
}

// statFields are the fields of /proc/pid/stat after the name of the program.
func statFields(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// childrenOf lists the processes whose parent is pid.
func childrenOf(pid int) (children []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields := statFields(child); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			children = append(children, child)
		}
	}
	return children
}
