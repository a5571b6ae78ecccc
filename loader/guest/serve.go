package guest

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader"
)

// mounts are what the BPF system call and CO-RE look at.
var mounts = []struct{ kind, dir string }{
	{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"debugfs", "/sys/kernel/debug"},
	{"tracefs", "/sys/kernel/tracing"}, {"bpf", "/sys/fs/bpf"}, {"cgroup2", "/sys/fs/cgroup"},
}

// prepared tells the first process that Prepare is done.
const prepared = "SUPERBPF_PREPARED"

// Serve is the life of the guest's first process: it prepares the machine and
// answers requests until the other side hangs up. It returns only errors.
func Serve() error {
	if os.Getenv(prepared) == "" {
		return prepare()
	}
	port, err := findPort()
	if err != nil {
		return err
	}
	defer port.Close()
	return answer(port)
}

// timerSlack is how late timers may be in the guest.
const timerSlack = 10 * time.Millisecond

// prepare mounts and loads what is needed and runs the program again: libraries
// look at /proc and at the kernel as they are initialized.
func prepare() error {
	for _, m := range mounts {
		err := os.MkdirAll(m.dir, 0o755)
		if err == nil {
			err = unix.Mount(m.kind, m.dir, m.kind, 0, "")
		}
		if err != nil {
			fmt.Printf("mount %s: %v\n", m.dir, err) // a kernel may do without
		}
	}
	loadModules("/modules")
	// Go's monitor thread wakes every 20 us beside a system call, and interrupts
	// what runs for long: both cost an emulated processor a third of its time.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack.Nanoseconds()), 0, 0, 0); err != nil {
		fmt.Println("timer slack:", err)
	}
	return unix.Exec("/init", os.Args, append(os.Environ(), prepared+"=1", "GOGC=off", "GOMEMLIMIT=128MiB", "GODEBUG=asyncpreemptoff=1"))
}

// loadModules loads what lies in dir. Modules need one another in an order that
// their package does not tell: go round until nothing more loads.
func loadModules(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.ko*"))
	for progress := true; progress && len(files) > 0; {
		progress = false
		var left []string
		for _, f := range files {
			if err := loadModule(f); err != nil && !errors.Is(err, unix.EEXIST) {
				left = append(left, f)
				continue
			}
			progress = true
		}
		files = left
	}
	if len(files) > 0 {
		fmt.Println("modules that do not load:", files)
	}
}

// moduleCompressed is MODULE_INIT_COMPRESSED_FILE.
const moduleCompressed = 4

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(file) != ".ko" {
		flags = moduleCompressed
	}
	return unix.FinitModule(int(f.Fd()), "", flags)
}

// findPort waits for the host's port.
func findPort() (*os.File, error) {
	for range 1000 {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err == nil && strings.TrimSpace(string(b)) == portName {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR, 0)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.New("no virtio port: the kernel lacks virtio_pci or virtio_console")
}

// answer serves requests until the stream ends.
func answer(port io.ReadWriter) error {
	k, err := loader.NewKernel()
	if err != nil {
		return err
	}
	k.Limit = loadTime
	in, out := gob.NewDecoder(port), gob.NewEncoder(port)
	if err := out.Encode(hello{loader.Release(), loader.Level()}); err != nil {
		return err
	}
	for {
		var q request
		if err := in.Decode(&q); err != nil {
			return err
		}
		if q.Forget {
			k.Close()
		}
		if err := out.Encode(respond(k, &q)); err != nil {
			return err
		}
	}
}

func respond(k *loader.Kernel, q *request) (r response) {
	r.ID = q.ID
	defer func() {
		if p := recover(); p != nil {
			r.Result, r.Err = nil, fmt.Sprint("internal error in the guest: ", p)
		}
	}()
	if q.Prepared != nil {
		res, known, err := k.LoadPrepared(context.Background(), q.Prepared)
		if err != nil {
			r.Err = err.Error()
		}
		r.Result, r.Whole = res, !known
		return r
	}
	k.Type = q.Type
	load := k.LoadWhole
	if q.Unset {
		load = k.LoadUnset
	}
	res, err := load(context.Background(), q.Object, q.Program)
	if err != nil {
		r.Err = err.Error()
		return r
	}
	r.Result = res
	return r
}
