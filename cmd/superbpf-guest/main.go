// Command superbpf-guest is the only process of the virtual machines in which
// superbpf asks other kernels: it loads the BPF programs that it is sent and
// answers with their verifier's verdict. It must be linked statically
// (CGO_ENABLED=0) and lie beside superbpf; ./run.sh build sees to both.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/superbpf/superbpf/loader/guest"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "superbpf-guest runs inside the virtual machines that superbpf starts for --kernels; it does nothing here")
		os.Exit(2)
	}
	// The console shows this if something goes wrong.
	fmt.Println("superbpf-guest:", guest.Serve())
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
