// Package sys is the agent's one door to the kernel: mounts by descriptor, cgroup programs, terminals; btrfs has its own
// (internal/disk/btrfs).
//
// Owns: the ioctl numbers and structures, and the wrapping of errors with the call and its object.
// In: descriptors, names below them.
// Out: descriptors the caller closes; errors whose errno errors.Is finds.
// Never: decides anything, follows a symbolic link it was not told to, or keeps state.
package sys
