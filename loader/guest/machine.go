package guest

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Qemu is the emulator's program.
const Qemu = "qemu-system-x86_64"

// ErrNoQemu is returned when the emulator is missing.
var ErrNoQemu = errors.New(Qemu + " is missing: apt-get install --no-install-recommends qemu-system-x86")

const (
	// memoryMB is the guest's memory; the host gives it only as it is used. Maps
	// with many entries need some of it.
	memoryMB = 1024
	// bootTime bounds a boot: some 3 s on an idle host without KVM.
	bootTime = 3 * time.Minute
)

// Available reports what a guest lacks on this host, whatever its kernel.
func Available() error {
	if _, err := exec.LookPath(Qemu); err != nil {
		return ErrNoQemu
	}
	_, err := findInit()
	return err
}

// machine is a running virtual machine.
type machine struct {
	hello   hello
	conn    net.Conn
	out     *gob.Encoder
	answers chan response
	// dead is closed when the machine is gone.
	dead    chan struct{}
	process *os.Process
	console console
}

// console keeps the end of what the kernel prints.
type console struct {
	mu   sync.Mutex
	tail []byte
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tail = append(c.tail, b...)
	if n := len(c.tail) - 4096; n > 0 {
		c.tail = append(c.tail[:0], c.tail[n:]...)
	}
	return len(b), nil
}

// last returns the last few lines as one.
func (c *console) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(c.tail), "\r", "")), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// boot starts a machine and waits for its first message.
func boot(ctx context.Context, img *Image) (*machine, error) {
	qemu, err := exec.LookPath(Qemu)
	if err != nil {
		return nil, ErrNoQemu
	}
	program, err := findInit()
	if err != nil {
		return nil, err
	}
	disk, err := initrd(program, img.Modules)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	m := &machine{conn: near, out: gob.NewEncoder(near), answers: make(chan response), dead: make(chan struct{})}
	cmd := exec.Command(qemu,
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-m", fmt.Sprint(memoryMB), "-smp", "1",
		"-accel", "kvm", "-accel", "tcg", "-cpu", "max",
		"-kernel", img.Kernel, "-initrd", "/proc/self/fd/3", "-append", "console=ttyS0 quiet panic=-1 oops=panic init_on_alloc=0 nowatchdog",
		"-serial", "stdio", "-device", "virtio-serial-pci", "-chardev", "socket,id=port,fd=4",
		"-device", "virtserialport,chardev=port,name="+portName)
	cmd.ExtraFiles = []*os.File{disk, far}
	cmd.Stdout, cmd.Stderr = &m.console, &m.console
	// A group of its own: Ctrl-C at the terminal is for us, and the result is
	// still to be checked when it comes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that made it, so this one
		// stays.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			near.Close()
			close(m.dead)
		}
	}()
	if err := <-started; err != nil {
		near.Close()
		return nil, err
	}
	m.process = cmd.Process
	if err := m.greet(ctx); err != nil {
		m.kill()
		return nil, fmt.Errorf("the virtual machine of Linux %s does not start: %w; its last words: %s", img.Release, err, m.console.last())
	}
	return m, nil
}

// greet waits for the guest's first message and starts to read its answers.
func (m *machine) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	in := gob.NewDecoder(m.conn)
	greeted := make(chan error, 1)
	go func() {
		err := in.Decode(&m.hello)
		greeted <- err
		for err == nil {
			var r response
			if err = in.Decode(&r); err == nil {
				select {
				case m.answers <- r:
				case <-m.dead:
					return
				}
			}
		}
	}()
	select {
	case err := <-greeted:
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			err = errors.New("it ended")
		}
		return err
	case <-m.dead:
		return errors.New("it ended")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends the machine and waits for its end.
func (m *machine) kill() {
	m.process.Kill()
	<-m.dead
}

func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	far := os.NewFile(uintptr(fds[1]), "port")
	f := os.NewFile(uintptr(fds[0]), "port")
	defer f.Close()
	near, err := net.FileConn(f)
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return near, far, nil
}
