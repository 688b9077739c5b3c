# A rule: the users who may write, or everyone if the list is empty. The long form also
# lists the users who may read.
type Etcd_tlsproxy::Acl = Variant[
  Array[Etcd_tlsproxy::User],
  Struct[{ write => Array[Etcd_tlsproxy::User], Optional[read] => Array[Etcd_tlsproxy::User] }]
]
