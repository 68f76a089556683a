"""What is public: words, fields, hosts and ids of the services, the same in every tenant."""

from __future__ import annotations

from typing import Final

from acceptance.probes.posture import POSTURE_KEYS
from defender_devops.api.pipelines.evidence import SECURITY_DEVOPS_TASK_ID

__all__ = [
    "ENUM_FIELDS",
    "MAP_FIELDS",
    "NAME_FIELDS",
    "OWN_PREFIX",
    "PUBLIC_GUIDS",
    "PUBLIC_HEADERS",
    "PUBLIC_HOSTS",
    "PUBLIC_PARAMETERS",
    "VOCABULARY",
]

PUBLIC_HOSTS: Final = frozenset(
    {
        "management.azure.com",
        "management.core.windows.net",
        "login.microsoftonline.com",
        "dev.azure.com",
        "app.vssps.visualstudio.com",
        "vssps.dev.azure.com",
        "vsaex.dev.azure.com",
        "extmgmt.dev.azure.com",
        "almsearch.dev.azure.com",
        "advsec.dev.azure.com",
        "portal.azure.com",
        "aka.ms",
        "graph.microsoft.com",
        "graph.windows.net",
        "gallery.azure.com",
        "rest.media.azure.net",
        "batch.core.windows.net",
        "spsprodweu3.vssps.visualstudio.com",
    }
)

PUBLIC_HEADERS: Final = frozenset(
    {
        "azure-asyncoperation",
        "content-type",
        "location",
        "retry-after",
        "www-authenticate",
        "x-ms-continuationtoken",
        "x-ms-failure-cause",
        "x-ms-ratelimit-remaining-subscription-deletes",
        "x-ms-ratelimit-remaining-subscription-reads",
        "x-ms-ratelimit-remaining-subscription-resource-requests",
        "x-ms-ratelimit-remaining-subscription-writes",
        "x-ms-user-quota-remaining",
        "x-ms-user-quota-resets-after",
        "x-ratelimit-delay",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-resource",
        "x-tfs-fedauthissuer",
        "x-tfs-fedauthrealm",
        "x-vss-resourcetenant",
    }
)
"""Headers of answers that are recorded; no other is."""

PUBLIC_PARAMETERS: Final = frozenset(
    {
        "$filter",
        "$top",
        "api-version",
        "defaultvalue",
        "descriptors",
        "includeallproperties",
        "includecontent",
        "includelatestbuilds",
        "maxbuildsperdefinition",
        "queryorder",
        "statefilter",
        "statusfilter",
        "taskidfilter",
    }
)
"""Parameters, in lower case, whose values are the kit's own text."""

OWN_PREFIX: Final = "acceptance-kit-"
"""Beginning of the names that the kit makes up, of what does not exist."""

PUBLIC_GUIDS: Final = frozenset(
    {
        SECURITY_DEVOPS_TASK_ID,
        *POSTURE_KEYS,
        "39bc4728-0917-49c7-9d2c-d95423bc2eb4",  # roles: Security Reader
        "fb1c8493-542b-48eb-b624-b4c8fea62acd",  # Security Admin
        "b24988ac-6180-42a0-ab88-20f7382dd24c",  # Contributor
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",  # Reader
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",  # Owner
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",  # User Access Administrator
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",  # Role Based Access Control Administrator
        "0609b952-1397-4640-95ec-e00a01b2c241",  # policies: build validation
        "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd",  # minimum number of reviewers
        "499b84ac-1321-427f-aa17-267ca6975798",  # resource Azure DevOps
        "00025394-6065-48ca-87d9-7f5672854ef7",  # service of Azure DevOps
    }
)

MAP_FIELDS: Final = frozenset({"tags", "additionaldata", "inputs", "variables", "properties.properties", "parameters"})
"""Fields, in lower case, that hold maps whose keys are the tenant's own."""

NAME_FIELDS: Final = {
    "accountname": "organization",
    "createdby": "person",
    "displayname": "person",
    "emailaddress": "person",
    "lastmodifiedby": "person",
    "mailaddress": "person",
    "parentorgname": "organization",
    "parentprojectname": "project",
    "principalname": "person",
    "providerdisplayname": "person",
    "uniquename": "person",
}
"""Kind of the name in a field, by the field in lower case."""

ENUM_FIELDS: Final = frozenset(
    {
        "autodiscovery",
        "assessmenttype",
        "category",
        "code",
        "createdbytype",
        "environmentname",
        "environmenttype",
        "inheritfromparentstate",
        "isenabled",
        "lastmodifiedbytype",
        "location",
        "minimumseveritylevel",
        "offeringtype",
        "onboardingstate",
        "pricingtier",
        "principaltype",
        "provisioningstate",
        "queuestatus",
        "reason",
        "recommendationcategory",
        "resourcescoveragestatus",
        "result",
        "resulttruncated",
        "resultformat",
        "severity",
        "state",
        "status",
        "typekey",
        "visibility",
        "enforce",
        "annotatedefaultbranch",
    }
)
"""Fields, in lower case, whose values are single words of the services: a word that is not known stays, too."""

_WORDS: Final = """
a aad accept acceptance accepted access account accountenabled accountid accounts accounturi action active activity
actor additional additionaldata admin administrator administrators administratorsgroup adv advanced advancedsecurity
agent agentless agentlessdiscoveryforkubernetes agentlessvmscanning agentpools aka all allow allowed already always an
and annotations any api apiposturemanagement apis app application are artifact artifactname artifacts as assessment
assessmentkey assessments assign assignment assignments async at australiaeast authentication authorization authorize
authorized authorizing auto automatic available azure azurecloud azuredevops azuredevopsorganization azuredevopsorgs
azuredevopsproject azuredevopsrepository azuredevopsscope azurerm background bad badrequest base based bash basic
batch be bearer been before behind below blade body branch branches browser budget build builds builtin builtinrole
bus by bypass cache canadacentral canceled cannot capabilities categories category centralus change changed charset
check checkout children client clientid cloud cloudposture cmdline code coderepository codesearchresults
codevulnerabilities collection collections com command common complete completed condition configuration
configurations conflict connection connectiondata connections connector connectors container containermapping
containerregistriesvulnerabilityassessments containers content continuation contributor control controller correct
correlation correlationid could count created creation creator critical csharp cspmmonitorazuredevops current data
date days dcspm default defender defenderfordevopsazuredevops definition definitionid definitions delete deleted
denied deny describe description deserialize detail details dev devops dfd different disable disabled
disallowoauthauthentication displayname distributedtask does download draft duplicate e2eid each eastasia eastus edit
empty enable enabled enabledby enablement enablements encountered end endpoint endpoints enforce ensure entitlement
entitlements entrapermissionsmanagement environment error errors evaluation exceeded exchange exist existing exists
expandedyaml expired expires expiry exposedsecrets express ext extension extensionmanagement extensions extmgmt failed
failedto failure false federated fetch field fields file filter finalize finish finished first folder follow for found
free from full fullycovered future get git github given global grant granted graph group groups guid has have head
heads health healthreports healthy high host hosted html http https iac iacvulnerabilities id identifier identities
identity identityprovider if immediate in includes inclusion info information initialize inprogress inputs
installation installed installedextensions installstate instance internal invalid invalidapiversionparameter
invalidoauthcode invalidresource inventory is issue issues it item items its job jobs json jsonwebtoken keep key kind
kit known label last later latest level license limit limits link linux list listavailableazuredevopsorgs listed
location locations log login logs low lower main management manager manual mapping master match maximum me medium
member members membership memberships merge message metadata method microsoft microsoftonline microsoftsecuritydevops
microsofttelemetry minimum missing mode monitor more move ms msal must name names namespace namespaces need needs
network new next no none noregisteredproviderfound northeurope not notapplicable notcovered notfound nothealthy
notonboarded null number oauth oauth2 object objectarray odata of offering offerings ok on onboarded
onboardedbyotherconnector onboarding once one online only opaque open openid operation operationresults operations
operator or organization organizationpolicy organizations other outside owner owners page parameter parent path
pending pendingdeletion perform permission permissions person pipeline pipelines plan plans please point policies
policy policyassignments pool portal post postjob posture powershell prejob preview pricing pricings principal private
process profile profiles project projectcollectionadministrators projects properties protection provided provider
providers provisioning public publish published publisher pull push put query queue queued quota range rate
ratelimiting read reader readers readiness ready realm reason received recommendation recommendations
recommendationsblade redacted reference refresh refs region regions register registered registration rejected release
remaining remediation remove repo repos repositories repository request requested requests require required reset
resolved resource resourceareas resourcegraph resourcegroup resourcegroupnotfound resourcegroups resourceid
resourcemanager resourcename resourcenotfound resources resourcetype response result results retained retry review
reviewer reviewers revision right rights role roleassignments roledefinitions roles root rule run running runs scan
scanning schedule scope scopes script search searchresults secret secrets securestring security securityconnector
securityconnectors securitydevops securityinsights see selected self sensitivedatadiscovery sensorcontextcontainer
sent server service serviceconnections services session set setting settings severity show sign signed signin single
size skip software softwareupdate source specified stage stages stakeholder standard start started starting state
states status statuses step steps stop storage string style subassessments subscription subscriptions succeeded
succeededwithissues success successful such support supported supportedversions suppress swedencentral switch system
table tag tags task taskgroups tasks team teamfoundation teamfoundationserver tenant tenants test text tf tfs
tfsfederated tfsgit than that the then there this thread threads throttled time timeline timestamp title to token
tokenexchangefailed tokens too total tree trigger true try type types ubuntu ubuntulatest uksouth unable unauthorized
unauthorizedclient unauthorizedrequestexception under unhealthy unit unknown unmarshal unsupported until update
updated upper uri url usage use used user userentitlements users utf v1 v2 v3 valid validation value values variable
variables vault version versions view visibility visible visualstudio vmimage vsaex vso vss vssps vstfs wait want was
web well wellformed westeurope when where which windows windowslatest winrm with without word work worker workspace
write written wrong x yaml yml you your zone
"""

VOCABULARY: Final = frozenset(_WORDS.split())
"""Words of the services in lower case. A word that is not here is replaced."""
