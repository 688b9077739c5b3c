# The pools that have a user of their own: for each data centre its clusters.
type Etcd_tlsproxy::Pools = Hash[Pattern[/\A[^\/\\\x00-\x20\x7f:]+\z/], Array[Pattern[/\A[^\/\\\x00-\x20\x7f:]+\z/]]]
