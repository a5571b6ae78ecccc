package measure

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// inGroup is what rigs share whose thread does, in a control group of its own, the
// system calls that programs of the group are hooked to.
type inGroup struct {
	kind  uint32 // attach type
	group *loader.Cgroup
	at    *loader.Hook
	open  []int // sockets
	buf   [256]byte
}

// join makes the group and puts the calling thread into it.
func (g *inGroup) join(kind progKind) (err error) {
	if g.group, err = loader.NewCgroup(); err != nil {
		return errNoEvent(kind, "%v", err)
	}
	if err := g.group.Join(); err != nil {
		return errNoEvent(kind, "%v", err)
	}
	return nil
}

// socket opens a socket that close closes. What belongs to a group is decided when
// a socket is made: join comes first.
func (g *inGroup) socket(family, typ, proto int) (int, error) {
	s, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	g.open = append(g.open, s)
	return s, nil
}

func (g *inGroup) close() error {
	errs := []error{g.at.Close()}
	for _, s := range g.open {
		errs = append(errs, unix.Close(s))
	}
	if g.group != nil {
		errs = append(errs, g.group.Leave(), g.group.Close())
	}
	return errors.Join(errs...)
}

// use has the group run inst.
func (g *inGroup) use(inst *Instance) (err error) {
	if g.at != nil {
		return g.at.Replace(inst.FD)
	}
	g.at, err = g.group.Attach(inst.FD, g.kind)
	return err
}

// errnoOf is the number of an error of a system call; any other error is returned.
func errnoOf(err error) (unix.Errno, error) {
	var n unix.Errno
	if err != nil && !errors.As(err, &n) {
		return 0, err
	}
	return n, nil
}

// each makes the call under each of the instances: what is seen are the number of
// its error and the bytes that it returns.
func (g *inGroup) each(insts []*Instance, outs []*loader.TestRun, call func() ([]byte, error)) error {
	for i, inst := range insts {
		if err := g.use(inst); err != nil {
			return err
		}
		seen, err := call()
		errno, err := errnoOf(err)
		if err != nil {
			return err
		}
		outs[i].Ret = uint32(errno)
		outs[i].Out, outs[i].OutLen = append(outs[i].Out[:0], seen...), len(seen)
	}
	return nil
}

// repeat makes the call n times and returns the time in the program and how often
// that was run.
func (g *inGroup) repeat(inst *Instance, n int, call func() ([]byte, error)) (d time.Duration, runs int, err error) {
	if err := g.use(inst); err != nil {
		return 0, 0, err
	}
	d, err = inRuns(inst.FD, &runs, func() error {
		for range n {
			_, err := call()
			if _, err := errnoOf(err); err != nil {
				return err
			}
		}
		return nil
	})
	return d, runs, err
}
