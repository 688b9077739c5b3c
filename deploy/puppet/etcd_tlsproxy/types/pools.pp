# The pools that have their own user: the clusters of each data center.
type Etcd_tlsproxy::Pools = Hash[Pattern[/\A[^\/\\\x00-\x20\x7f:]+\z/], Array[Pattern[/\A[^\/\\\x00-\x20\x7f:]+\z/]]]
