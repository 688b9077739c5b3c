// Package memberhost finds out how the etcd of this machine runs: its systemd unit, its
// environment, its command line, and the folders that it writes to.
//
// A recovery replaces the data of a member. If it did not know one of the folders, etcd
// would start on a mixture of old and new data, and ruin the old data that was to be
// kept. Therefore the ways in which a member can run are a closed list, and everything
// else is refused by name:
//
//   - The unit runs one program, etcd itself, without commands before or after it, and
//     sees the file system like everybody else.
//   - Settings are flags of the command line, or variables of Environment=, of
//     EnvironmentFile= and of the service manager. A flag takes precedence over a variable. There is no
//     configuration file: etcd ignores all flags and variables if it has one.
//   - The data is in an absolute folder. The log is in it, or in another absolute folder,
//     or behind a symbolic link.
//   - Everything else that etcd can be told is either known not to move data, or refused.
package memberhost
