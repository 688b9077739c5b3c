package main

import "github.com/spf13/cobra"

// defaultConfigFile is the path at which the packages install the configuration.
const defaultConfigFile = "/etc/etcd-tlsproxy/etcd-tlsproxy.toml"

// configFlag adds the flag that names the configuration file.
func configFlag(cmd *cobra.Command) *string {
	file := cmd.Flags().StringP("config", "c", defaultConfigFile, "configuration `file`")
	if err := cmd.MarkFlagFilename("config", "toml"); err != nil {
		panic("BUG: the flag was added above: " + err.Error())
	}
	return file
}
