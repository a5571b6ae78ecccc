package measure

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// eventRig runs programs that the kernel does not test-run, by raising the
// events that they are attached to. It works on one thread, in the namespace of
// a session.
type eventRig interface {
	// cookies of the sockets that run the programs, if any.
	cookies() []uint64
	// once raises an event, the same for each of the instances, and fills in what
	// came of it: Ret and Out.
	once(insts []*Instance, in Input, outs []*loader.TestRun) error
	// many raises n events and returns the time in the program.
	many(inst *Instance, in Input, n int) (time.Duration, error)
	// changed tells whether an outcome is other than the event without a program.
	changed(in Input, r *loader.TestRun) bool
	close() error
}

// errNoEvent says why a program's events cannot be raised here.
func errNoEvent(kind progKind, format string, args ...any) error {
	return fmt.Errorf("%w (%s), and %s", ErrNotMeasurable, kind.name, fmt.Sprintf(format, args...))
}

// openRig makes the rig that a program needs; nil if the kernel test-runs its
// type. The calling thread is a session's.
func openRig(inst *Instance, kind progKind) (eventRig, error) {
	switch kind.name {
	case "cgroup_sock_addr", "cgroup_sock":
		return rigOr(newSocketRig(inst, kind))
	case "tracepoint":
		return rigOr(newTracepointRig(inst, kind))
	case "perf_event":
		return rigOr(newPageFaultRig(kind))
	case "kprobe":
		return rigOr(newCallRig(kind))
	case "cgroup_device", "cgroup_sysctl", "cgroup_sockopt", "sock_ops":
		return rigOr(newGroupRig(inst, kind))
	}
	if why := notMeasurable[kind.name]; why != "" {
		return nil, errNoEvent(kind, "%s", why)
	}
	return nil, nil
}

// notMeasurable says why nothing here raises the events of a type.
var notMeasurable = map[string]string{
	"sk_skb":       "a stream parser runs on sockets of a map that user space must fill",
	"sk_msg":       "it runs on sockets of a map that user space must fill",
	"sk_reuseport": "it runs on a group of sockets of a map that user space must fill",
	"tracing":      "what it is attached to in the kernel may be anything",
	"lsm":          "what it decides about would be decided for the whole host",
	"struct_ops":   "it is a part of a set of functions for one subsystem",
	"ext":          "it takes the place of a function of another program",
}

// rigOr keeps a nil rig from becoming an interface that is not nil.
func rigOr[R any, P interface {
	*R
	eventRig
}](r P, err error) (eventRig, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// inRuns returns the time that a program took while f ran, and the number of
// runs, at least one. Run statistics must be on.
func inRuns(prog int, runs *int, f func() error) (time.Duration, error) {
	before, err := loader.Runs(prog)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := loader.Runs(prog)
	if err != nil {
		return 0, err
	}
	if *runs = int(after.Count - before.Count); *runs == 0 {
		return 0, errors.New("the events that were raised did not run the program")
	}
	return time.Duration(after.Nanos - before.Nanos), nil
}

// executor runs programs of one kind: by test runs, or by events if it has a rig.
type executor struct {
	kind progKind
	rig  eventRig
	// stats keeps the kernel's run statistics on, for all programs of the host,
	// while events are timed; -1 when they are not.
	stats int
}

// newExecutor looks at a loaded program; the calling thread is a session's.
func newExecutor(inst *Instance) (*executor, error) {
	_, kind, err := kindOf(inst)
	if err != nil {
		return nil, err
	}
	e := &executor{kind: kind, stats: -1}
	e.rig, err = openRig(inst, kind)
	return e, err
}

// adopt tells an instance which sockets will run it.
func (e *executor) adopt(inst *Instance) error {
	if e.rig == nil || e.rig.cookies() == nil || inst.Sockets == nil {
		return nil
	}
	return inst.Sockets(e.rig.cookies())
}

// run runs the instances on an input; errs has an error for each that the kernel
// did not run.
func (e *executor) run(insts []*Instance, in Input, outs []*loader.TestRun, errs []error) error {
	if e.rig != nil {
		clear(errs)
		return e.rig.once(insts, in, outs)
	}
	for k, inst := range insts {
		e.kind.prepare(outs[k], inst.FD, in, true)
		if errs[k] = outs[k].Run(); errors.Is(errs[k], loader.ErrNoTestRun) {
			return errs[k]
		}
	}
	return nil
}

// many raises n events and returns the time in the program.
func (e *executor) many(inst *Instance, in Input, n int) (_ time.Duration, err error) {
	if e.stats < 0 {
		// Switching them patches the kernel's code: once a session.
		if e.stats, err = loader.EnableRunStats(); err != nil {
			return 0, fmt.Errorf("run statistics: %w", err)
		}
	}
	return e.rig.many(inst, in, n)
}

func (e *executor) close() (err error) {
	if e == nil || e.rig == nil {
		return nil
	}
	if e.stats >= 0 {
		err = unix.Close(e.stats)
	}
	return errors.Join(err, e.rig.close())
}

// referee says how programs of the kind are run, for records.
func (e *executor) referee() string {
	switch r := e.rig.(type) {
	case *socketRig:
		return "system calls on sockets in a private control group"
	case *groupRig:
		return r.hook.what + " in a private control group"
	case *tracepointRig:
		return r.what
	}
	return "BPF_PROG_TEST_RUN"
}
