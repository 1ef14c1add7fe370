package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// oneProcessor is the memory in MB with which Lambda gives a function the time of one processor.
	oneProcessor = 1769
	// quotaPeriod is the period of Lambda's quota.
	quotaPeriod = 20 * time.Millisecond
)

// share returns the share of a processor that Lambda gives a function with this memory in MB.
func share(memory int) float64 { return float64(memory) / oneProcessor }

// quota returns the processor time that a function with this memory in MB can use in each period.
func quota(memory int) time.Duration {
	return (quotaPeriod * time.Duration(memory) / oneProcessor).Truncate(time.Microsecond)
}

// estimate returns the time of a request that was measured without a quota. It assumes that the function does nothing
// else while it waits for calls, so it is longer than the time with a quota.
func estimate(measured, processor time.Duration, memory int) time.Duration {
	waiting := max(measured-processor, 0)
	return waiting + time.Duration(float64(processor)/min(share(memory), 1))
}

// cgroups creates cgroups with a quota. Each process has its own.
type cgroups struct {
	folder string // parent of the created groups
	v2     bool
	made   int
}

// findCgroups looks for a cgroup hierarchy below mount (/sys/fs/cgroup) that can limit processor time. The error says why
// there is none.
func findCgroups(mount string) (*cgroups, error) {
	v1 := filepath.Join(mount, "cpu")
	if _, err := os.Stat(filepath.Join(v1, "cpu.shares")); err == nil {
		return testCgroups(&cgroups{folder: v1})
	}
	controllers, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if err != nil || !slices.Contains(strings.Fields(string(controllers)), "cpu") {
		return nil, fmt.Errorf("%s has no cgroups that limit processor time", mount)
	}
	// An error means that another process must enable the controller. Then testCgroups fails.
	_ = os.WriteFile(filepath.Join(mount, "cgroup.subtree_control"), []byte("+cpu"), 0)
	return testCgroups(&cgroups{folder: mount, v2: true})
}

// testCgroups returns c if a group can be created.
func testCgroups(c *cgroups) (*cgroups, error) {
	g, err := c.add(oneProcessor)
	if err != nil {
		return nil, err
	}
	return c, g.remove()
}

// cgroup is a group for one process.
type cgroup struct{ folder string }

// add creates a group with the quota of a function with this memory in MB.
func (c *cgroups) add(memory int) (cgroup, error) {
	c.made++
	g := cgroup{filepath.Join(c.folder, fmt.Sprintf("ecr-scan-bench-%d-%d", os.Getpid(), c.made))}
	if err := os.Mkdir(g.folder, 0o755); err != nil {
		return cgroup{}, fmt.Errorf("create a cgroup: %w", err)
	}
	if err := g.limit(memory, c.v2); err != nil {
		return cgroup{}, errors.Join(fmt.Errorf("set the quota of a cgroup: %w", err), g.remove())
	}
	return g, nil
}

// limit sets the quota of a function with this memory in MB.
func (g cgroup) limit(memory int, v2 bool) error {
	period, most := strconv.FormatInt(quotaPeriod.Microseconds(), 10), strconv.FormatInt(quota(memory).Microseconds(), 10)
	if v2 {
		return g.set("cpu.max", most+" "+period)
	}
	return errors.Join(g.set("cpu.cfs_period_us", period), g.set("cpu.cfs_quota_us", most))
}

// set writes a setting. It does not create a file, because a missing one means that the group has no quota.
func (g cgroup) set(name, value string) error {
	file, err := os.OpenFile(filepath.Join(g.folder, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}

// enter returns a command that enters the group and then executes the program in its last argument.
func (g cgroup) enter() []string {
	return []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$1"`, filepath.Join(g.folder, "cgroup.procs")}
}

// remove deletes the group. Its process must have ended. The kernel can need some time until it counts the process as
// ended.
func (g cgroup) remove() error {
	var err error
	for range 100 {
		if err = os.Remove(g.folder); err == nil {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("delete a cgroup: %w", err)
}
