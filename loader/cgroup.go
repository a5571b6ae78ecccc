package loader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mountAside mounts a file system that no path leads to, and opens its root. It
// goes with the last descriptor.
func mountAside(kind string) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount %s: %w", kind, err)
	}
	defer unix.Close(mnt)
	return openAt(mnt, ".")
}

func openAt(dir int, path string) (*os.File, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Cgroup is a control group of single threads below the process's own. Whatever
// sockets its threads make belong to it, and run the programs attached to it.
type Cgroup struct {
	dir, parent *os.File
	reaper      *exec.Cmd
	alive       io.Closer
}

// reap removes the group ($1) when its standard input ends: with Close, or with
// the process, however that dies.
const reap = `cat >/dev/null; n=0; while ! rmdir "/proc/self/fd/3/$1" 2>/dev/null && [ -e "/proc/self/fd/3/$1" ] && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1; done`

// NewCgroup makes a group. The calling thread must not be in one.
func NewCgroup() (_ *Cgroup, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("private control group: %w", err)
		}
	}()
	root, err := mountAside("cgroup2")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	c := new(Cgroup)
	if c.parent, err = openAt(int(root.Fd()), "."+own); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("superbpf-%d-%d", os.Getpid(), unix.Gettid())
	c.reaper = exec.Command("/bin/sh", "-c", reap, "reap", name)
	c.reaper.ExtraFiles = []*os.File{c.parent}
	// A signal to the whole process group is not for it.
	c.reaper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.alive, err = c.reaper.StdinPipe(); err != nil {
		return nil, errors.Join(err, c.parent.Close())
	}
	if err := c.reaper.Start(); err != nil {
		return nil, errors.Join(err, c.parent.Close())
	}
	if err = unix.Mkdirat(int(c.parent.Fd()), name, 0o755); err == nil {
		c.dir, err = openAt(int(c.parent.Fd()), name)
	}
	if err == nil {
		err = writeAt(c.dir, "cgroup.type", "threaded")
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// CgroupsOf lists the private groups that a process made and that are still there.
func CgroupsOf(pid int) ([]string, error) {
	root, err := mountAside("cgroup2")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	parent, err := openAt(int(root.Fd()), "."+own)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	names, err := parent.Readdirnames(-1)
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, fmt.Sprintf("superbpf-%d-", pid)) }), err
}

// AttachTypeName names an attach type (enum bpf_attach_type).
func AttachTypeName(t uint32) string { return ebpf.AttachType(t).String() }

// ownCgroup is the path of the process's group in the unified hierarchy.
func ownCgroup() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok && !strings.HasPrefix(path, "/..") {
			return path, nil
		}
	}
	return "", errors.New("the process is in no visible group of the unified hierarchy (cgroup2)")
}

func writeAt(dir *os.File, file, text string) error {
	fd, err := unix.Openat(int(dir.Fd()), file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// Join moves the calling thread, which must be locked, into the group.
func (c *Cgroup) Join() error { return writeAt(c.dir, "cgroup.threads", "0") }

// Leave moves the calling thread back.
func (c *Cgroup) Leave() error { return writeAt(c.parent, "cgroup.threads", "0") }

// Close removes the group, which all threads have left.
func (c *Cgroup) Close() error {
	errs := []error{c.alive.Close(), c.reaper.Wait(), c.parent.Close()}
	if c.dir != nil {
		errs = append(errs, c.dir.Close())
	}
	return errors.Join(errs...)
}

// Hook is a place that runs one program at a time, by a BPF link; it is free
// again when it is closed or the process ends.
type Hook struct{ link int }

// Attach attaches a program with the given attach type (enum bpf_attach_type).
func (c *Cgroup) Attach(prog int, attachType uint32) (*Hook, error) {
	fd, err := linkCreate(prog, int(c.dir.Fd()), attachType, 0)
	if err != nil {
		return nil, fmt.Errorf("attach to a control group: %w", err)
	}
	return &Hook{fd}, nil
}

// Replace exchanges the program.
func (h *Hook) Replace(prog int) error { return linkUpdate(h.link, prog) }

// Close detaches the program.
func (h *Hook) Close() error {
	if h == nil {
		return nil
	}
	return unix.Close(h.link)
}
