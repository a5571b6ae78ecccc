package measure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// groupRig runs the programs of a control group that decide about other things
// than addresses: this thread, in a group and a network namespace of its own, does
// what they are hooked to. What the input's bytes choose is harmless whatever the
// program says to it. What is seen is the error and what was read.
type groupRig struct {
	inGroup
	hook groupHook
	sock int // a UDP socket
	lis  int // a TCP listener, for sock_ops
	to   unix.Sockaddr
}

// groupHook says how a hook is reached.
type groupHook struct {
	what string
	call func(r *groupRig, in Input) ([]byte, error)
}

// groupHooks is indexed by enum bpf_attach_type.
var groupHooks = map[uint32]groupHook{
	3:  {"TCP connections over the loopback", (*groupRig).connection},
	6:  {"opening devices", (*groupRig).device},
	18: {"reading and writing settings", (*groupRig).setting},
	21: {"getsockopt", (*groupRig).getOption},
	22: {"setsockopt", (*groupRig).setOption},
}

func newGroupRig(inst *Instance, kind progKind) (_ *groupRig, err error) {
	attach := inst.AttachType
	if kind.name == "cgroup_device" {
		attach = 6 // older loaders leave it out
	}
	hook, ok := groupHooks[attach]
	if !ok {
		return nil, errNoEvent(kind, "nothing here raises its event (attach type %d)", attach)
	}
	r := &groupRig{inGroup: inGroup{kind: attach}, hook: hook}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if err := r.join(kind); err != nil {
		return nil, err
	}
	if r.sock, err = r.socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
		return nil, err
	}
	if kind.name != "sock_ops" {
		return r, nil
	}
	if r.lis, err = r.socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		return nil, err
	}
	if err = unix.Bind(r.lis, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.Listen(r.lis, 16)
	}
	if err == nil {
		r.to, err = unix.Getsockname(r.lis)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return r, nil
}

func (r *groupRig) cookies() []uint64 { return nil }

func (r *groupRig) once(insts []*Instance, in Input, outs []*loader.TestRun) error {
	return r.each(insts, outs, func() ([]byte, error) { return r.hook.call(r, in) })
}

func (r *groupRig) many(inst *Instance, in Input, n int) (time.Duration, error) {
	d, runs, err := r.repeat(inst, n, func() ([]byte, error) { return r.hook.call(r, in) })
	if err != nil {
		return 0, err
	}
	// A connection runs a program several times: the time is that of one run.
	return time.Duration(float64(d) / float64(runs) * float64(n)), nil
}

func (r *groupRig) changed(Input, *loader.TestRun) bool { return false }

// word is a number from an input's bytes.
func word(in Input, at int) uint32 {
	var b [4]byte
	if at < len(in.Data) {
		copy(b[:], in.Data[at:])
	}
	return binary.LittleEndian.Uint32(b[:])
}

// devices can be opened, and read or written, without any effect.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

func (r *groupRig) device(in Input) ([]byte, error) {
	mode := []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR}[word(in, 4)%3]
	fd, err := unix.Open(devices[word(in, 0)%uint32(len(devices))], mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return nil, unix.Close(fd)
}

// settings are read; the last is the namespace's own and is written as well.
var settings = []string{"/proc/sys/kernel/ostype", "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_default_ttl"}

func (r *groupRig) setting(in Input) ([]byte, error) {
	k := word(in, 0) % uint32(len(settings))
	write := int(k) == len(settings)-1 && word(in, 4)%2 == 1
	mode := unix.O_RDONLY
	if write {
		mode = unix.O_RDWR
	}
	fd, err := unix.Open(settings[k], mode|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if write {
		if _, err := unix.Write(fd, fmt.Appendf(nil, "%d\n", 1+word(in, 8)%255)); err != nil {
			return nil, err
		}
	}
	n, err := unix.Pread(fd, r.buf[:], 0)
	if err != nil {
		return nil, err
	}
	return r.buf[:n], nil
}

// options of a socket that take a number, any.
var options = []struct{ level, name int }{
	{unix.SOL_SOCKET, unix.SO_PRIORITY}, {unix.SOL_SOCKET, unix.SO_MARK}, {unix.SOL_SOCKET, unix.SO_RCVBUF}, {unix.SOL_SOCKET, unix.SO_SNDBUF},
	{unix.IPPROTO_IP, unix.IP_TOS}, {unix.IPPROTO_IP, unix.IP_TTL}, {unix.IPPROTO_IP, unix.IP_MTU_DISCOVER},
}

func (r *groupRig) getOption(in Input) ([]byte, error) {
	o := options[word(in, 0)%uint32(len(options))]
	v, err := unix.GetsockoptInt(r.sock, o.level, o.name)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32(nil, uint32(v)), nil
}

func (r *groupRig) setOption(in Input) ([]byte, error) {
	o := options[word(in, 0)%uint32(len(options))]
	if err := unix.SetsockoptInt(r.sock, o.level, o.name, int(word(in, 4)&0xff)); err != nil {
		return nil, err
	}
	return r.getOption(in)
}

// connection makes a connection and ends it at once, leaving no port behind.
func (r *groupRig) connection(Input) ([]byte, error) {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(s)
	if err := unix.SetsockoptLinger(s, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return nil, err
	}
	if err := unix.Connect(s, r.to); err != nil {
		return nil, err
	}
	c, _, err := unix.Accept(r.lis)
	if err != nil {
		return nil, err
	}
	return nil, unix.Close(c)
}
