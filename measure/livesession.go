package measure

import (
	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/traffic/testbed"
)

// attachLive puts each program at the end of a pair of its own, in native mode,
// and a sink at the other.
func (s *session) attachLive() error {
	for i, sl := range s.slots {
		p := s.pairs[i]
		var err error
		if sl.xdp, err = loader.AttachXDP(p.Right, sl.inst.FD, loader.XDPOptions{Mode: loader.XDPNative}); err != nil {
			return err
		}
		if sl.sink, err = loader.AttachXDP(p.Left, s.rig.sink.FD(), loader.XDPOptions{Mode: loader.XDPNative}); err != nil {
			return err
		}
		sl.target, sl.receiver = p.LeftIndex, p.Right
		c, err := testbed.ReadCounters(p.Right)
		if err != nil {
			return err
		}
		sl.before = c.RxPackets
	}
	// Without a target the generator drops its own frames: what it costs alone.
	for l := range emptyLoads {
		s.slots = append(s.slots, &slot{subject: emptySubject, load: l})
	}
	return nil
}

// countLosses holds what the receivers counted against what was sent.
func (s *session) countLosses() error {
	for _, sl := range s.slots {
		if sl.receiver == "" {
			continue
		}
		c, err := testbed.ReadCounters(sl.receiver)
		if err != nil {
			return err
		}
		s.result.Sent += sl.sent
		s.result.Received += c.RxPackets - sl.before
	}
	return nil
}
