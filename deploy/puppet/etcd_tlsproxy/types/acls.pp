# The table of rules.
type Etcd_tlsproxy::Acls = Hash[Etcd_tlsproxy::Prefix, Etcd_tlsproxy::Acl]
