package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrOneCPU is returned where sender and receiver cannot run side by side.
var ErrOneCPU = errors.New("testbed: needs two CPUs, one for the sender and one for the receiver")

// ReceiveOnOtherCPU moves the receiving side of an interface of the namespace to
// a kernel thread on a CPU other than the namespace's own, as if the packets
// came from another machine, and returns that CPU.
func (n *Namespace) ReceiveOnOtherCPU(iface string) (cpu int, err error) {
	err = n.Do(func() error {
		cpu, err = n.receiveOnOtherCPU(iface)
		return err
	})
	return cpu, err
}

func (n *Namespace) receiveOnOtherCPU(iface string) (int, error) {
	cpu, err := otherCPU(n.CPU)
	if err != nil {
		return 0, err
	}
	if !n.ownSys {
		// /sys/class/net shows the interfaces of the namespace that mounted it:
		// mount one for this thread alone, gone with the thread.
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return 0, fmt.Errorf("testbed: private mounts: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return 0, fmt.Errorf("testbed: private mounts: %w", err)
		}
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return 0, fmt.Errorf("testbed: mount sysfs: %w", err)
		}
		n.ownSys = true
	}
	if err := os.WriteFile(filepath.Join("/sys/class/net", iface, "threaded"), []byte("1"), 0); err != nil {
		return 0, fmt.Errorf("testbed: threaded receive: %w", err)
	}
	// The kernel names the thread napi/<interface>-<number>, cut to 15 bytes.
	prefix := "napi/" + iface
	prefix = prefix[:min(len(prefix), 15)]
	for range 100 {
		for _, tid := range threadsNamed(prefix) {
			var set unix.CPUSet
			set.Set(cpu)
			if err := unix.SchedSetaffinity(tid, &set); err != nil {
				return 0, fmt.Errorf("testbed: pin the receiver: %w", err)
			}
			if err := RealTime(tid, true); err != nil {
				return 0, err
			}
			return cpu, nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, fmt.Errorf("testbed: no thread receives for %s", iface)
}

func threadsNamed(prefix string) []int {
	var tids []int
	files, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(b), prefix) {
			if tid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
				tids = append(tids, tid)
			}
		}
	}
	return tids
}

func otherCPU(own int) (int, error) {
	var set unix.CPUSet
	// The thread itself is pinned: ask for the process's main thread.
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return 0, fmt.Errorf("testbed: %w", err)
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) && i != own {
			return i, nil
		}
	}
	return 0, ErrOneCPU
}

// RealTime has a thread (0: the calling one) run before all ordinary threads, or
// as an ordinary one again. For stretches of milliseconds: whatever else the CPU
// was to do waits.
func RealTime(tid int, on bool) error {
	a := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}
	if on {
		a.Policy, a.Priority = unix.SCHED_FIFO, 1
	}
	if err := unix.SchedSetAttr(tid, &a, 0); err != nil {
		return fmt.Errorf("testbed: scheduling class: %w", err)
	}
	return nil
}
