package email

import (
	"maps"
	"sync"
)

// Reply is a kind of reply that ended a conversation about one mail.
type Reply struct {
	Phase string // connect, mail, rcpt, data or message: the command that it answers
	Class string // 2xx, 4xx or 5xx; none when the conversation broke without a reply
}

// replies counts how conversations with a server ended.
type replies struct {
	mu     sync.Mutex
	counts map[Reply]int64
}

var phaseNames = map[phase]string{phaseDial: "connect", phaseMail: "mail", phaseRcpt: "rcpt", phaseData: "data", phaseDot: "message"}

// count counts the end of a conversation that began: a nil failure is a mail that was
// taken.
func (r *replies) count(f *failure) {
	reply := Reply{phaseNames[phaseDot], "2xx"}
	if f != nil {
		if f.unbegun || f.phase == phaseMessage {
			return
		}
		reply.Phase, reply.Class = phaseNames[f.phase], "none"
		switch f.code / 100 {
		case 4:
			reply.Class = "4xx"
		case 5:
			reply.Class = "5xx"
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[Reply]int64{}
	}
	r.counts[reply]++
}

func (r *replies) read() map[Reply]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
