package measure

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/superbpf/superbpf/loader"
	"github.com/superbpf/superbpf/loader/kerneltest"
)

const killEnv = "SUPERBPF_KILL_NAME"

// A measurement that is killed at any moment leaves no program behind, and with
// the programs go what they were attached to and the control groups.
func TestKilledSessionLeavesNothing(t *testing.T) {
	kerneltest.Require(t)
	if name := os.Getenv(killEnv); name != "" {
		p := dropping(name, 50)
		hooked := onEvents(name, sockAddrType, 19, "", count(1)...)
		fmt.Println("ready")
		for {
			o := brief(LatencyOptions{Inputs: somePacket})
			if _, err := Latency(context.Background(), p, []Subject{p}, o); err != nil {
				t.Fatal(err)
			}
			if _, err := Latency(context.Background(), hooked, []Subject{hooked}, o); err != nil {
				t.Fatal(err)
			}
			if _, err := Throughput(context.Background(), p, []Subject{p}, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for try := range 5 {
		name := fmt.Sprintf("kill%06x%d", rand.Uint32()&0xffffff, try)
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledSessionLeavesNothing$")
		cmd.Env = append(os.Environ(), killEnv+"="+name)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		bufio.NewScanner(out).Scan()
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		during, _ := loader.ProgramsNamed(name)
		cmd.Process.Kill()
		cmd.Wait()
		t.Logf("killed with %d programs loaded", during)
		left := -1
		// The kernel frees a namespace in the background, after grace periods.
		for deadline := time.Now().Add(30 * time.Second); left != 0 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if left, err = loader.ProgramsNamed(name); err != nil {
				t.Fatal(err)
			}
		}
		groups := []string{"?"}
		for deadline := time.Now().Add(30 * time.Second); len(groups) > 0 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if groups, err = loader.CgroupsOf(cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
		}
		if len(groups) > 0 {
			t.Errorf("the control groups %v are left", groups)
		}
		if left != 0 {
			t.Errorf("%d programs named %s are left", left, name)
		}
	}
}
