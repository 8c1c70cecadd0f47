"""What names of members usually mean: times, keys, identifiers, payloads."""

import re
from collections.abc import Sequence

_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")


def _items(text: str) -> list[str]:
    return text.split()


TIMES: dict[str, int] = {
    **dict.fromkeys(
        _items("""
        timestamp time ts datetime eventtime eventtimestamp measuredat observedat measuretime measurementtime
        readingtime readat sampletime sampledat devicetime devicetimestamp epoch unixtime
        unixtimestamp epochtime
        epochms timestampms timems tsms timens timestampns utctimestamp utctime utc dateobserved
        sourcetimestamp
        occurredat observationtime phenomenontime resulttime eventdate dt zeit zeitstempel zeitpunkt
        messzeitpunkt
        fecha fechahora horodatage tstamp cetime timestamputc dateutc datetimeutc eventts recordtime asctime
        tst es timestamps
        obstime obstimeutc timeofsample timeinseconds unixseconds epochseconds epochmillis
        tpeptimestamp timeutc isotime timeiso timestampiso readingtimestamp sampletimestamp
    """),
        100,
    ),
    **dict.fromkeys(
        _items("""
        date datum day lastseen lastupdated recordedat collectedat capturedat opentime starttime start
        from begin
        intervalbegin intervalstart bucketstart periodstart deliverystart
        hour timeslot period interval validtime reporttime week month quarter year jahr monat
    """),
        75,
    ),
    **dict.fromkeys(
        _items("""
        t lastchanged time1 createdat created tradetime time0 sentat sendtime
    """),
        65,
    ),
    **dict.fromkeys(
        _items("""
        end to endtime closetime receipttime receivedat received receivetime ingestedat ingesttime
        publishedat publishtime
        enqueuedtime iothubenqueuedtime servertime updatedat updated lastupdate processedat insertedat
        arrivaltime
        ingesttimestamp receivedtimestamp servertimestamp e transacttime generatedat modifiedat lastreported
        eventenqueuedutctime connectiondevicetime cettimestamp cetcesttimestamp
        localtime
        timestamplocal timeserver
    """),
        45,
    ),
    **dict.fromkeys(
        _items("""
        emittedat airbyteemittedat airbyteextractedat extractedat sdcextractedat fivetransynced syncedat loadedat
        etltstamp eventprocessedutctime ingestiontime
    """),
        30,
    ),
}
"""By name without separators and in lower case: how likely it is that of the event time; 100 is surely."""
TIME_WORDS = frozenset(
    _items("""
    at begin date datetime epoch fecha seen stamp start time timestamp ts tstamp utc when zeit zeitstempel
""")
)
_NO_EVENT = frozenset(
    _items("""
    birth boot deploy deployed due duration elapsed etl expiration expires expiry install installed last_reset
    manufactured next offset prev previous registered reset response timeout timezone total until uptime zone
""")
)
_PREDICTED = frozenset(_items("arrival departure estimated expected planned predicted scheduled"))
"""Words of names of times that are still to come."""
KEYS: dict[str, int] = {
    **dict.fromkeys(
        _items("""
        deviceid device dev devid sensorid sensor devicename host hostname nodeid node symbol entityid
        stationid station
        machineid machine assetid asset meterid meter pumpid seriesid series serie equipmentid
        equipment instance
        pod podname vehicleid vehicle iothubconnectiondeviceid connectiondeviceid deveui ticker instrument
        instrumentname instrumentid productid pair thingname thingid thing clientid gatewayid unitid turbine
        turbineid plantid inverter inverterid plcid tagname tagid itemid deviceserial serial
        serialnumber imei mac
        macaddress deviceaddress friendlyname busid container containername containerid server
        servername endpoint
        sensorname moteid mote moduleid module customerid homeid houseid buildingid roomid storeid
        shopid location
        locationid site siteid well wellid line lineid robotid market inst instid uniqueid stationname
        gerät geraet
        messstelle dispositivo capteur inventoryid lclid channelid stationcode meternumber transformer feeder
        feederid elevator motor motorid partitionkey streamid resourceid pump valve tank boiler engine
        compressor
        fan heater tid robot truck car train bus aircraft ship vessel battery_id cell rack drone
        charger chargepoint
        evse appliance unit_id probe probeid logger panel array string buoy weatherstation account
        patient patientid
        subjectid tower bridge publisherid veh mmsi icao icao24 hex callsign plc agenthost sampleraddress
        gw propertyalias tagpath usagepoint meteringpoint meteringpointid groupaddress
    """),
        100,
    ),
    **dict.fromkeys(
        _items("""
        s id uid name key entity source src room zone building city region country service servicename
        svc application app job
        cluster namespace area metric metricname measurement tag sym coin topic mrid label plant
        address ip deviceip store dept item sku product route routeid stop stopid link interface
        ifname cpu disk
        agent ifindex lane core gpu
        destination disktype queue category subject devicelabel mbean stock security isin cusip contract
    """),
        70,
    ),
    **dict.fromkeys(
        _items("""
        type kind model object currency group groupid org tenant tenantid class side direction phase
        port channel axis mode
        applicationid i
    """),
        30,
    ),
}
"""How likely a name is that of the key, of 100."""

_IDS = frozenset(
    _items("""
    addr address bdseq bssid build checksum cid crc eid epoch eui fcnt firmware fport fw gid guid hash id ids
    idx imei instance itemid latitude longitude
    mac mmsi msgcount msgid nonce offset partition pgn phone pid plz postcode ppid revision rownum schema seq seqno
    sequence serial sid tid uid uuid version zip
""")
)
"""Words of names whose numbers measure nothing."""
_ID_NAMES = frozenset(
    (
        *_items("""
    qos qc cod timezone tz interval ttl priority retain
    cnt_msg code counter_id dr f_cnt f_port idx index ifindex jsonrpc lat latitude line_no lng lon long
    longitude
    fillvalue message_count missing_value month nanos no nodatavalue nodata nr ns number packet port
    rec_id record row tst type xid xoffset year
    elevation exit_code exit_status generationtime_ms http_code http_status in_if out_if port_dst port_src dst_port
    http_status_code position ram_size table
    response_code responsecode src_port status_code statuscode tz_offset vmid
"""),
        "",
        "unnamed: 0",
    )
)
COUNTED = frozenset(
    _items("""
    amount bytes count disk energy free kwh load mem memory ms ns octets packets q qty quantity received recv
    requests rx sent size sum total tx uptime usage used v value volume wh
""")
)
"""Words of names whose numbers are amounts, which may be large and only rise."""
ENVELOPES = tuple(
    _items("""
    metricset event agent ecs beat @metadata rx_metadata settings gateway network version_ids txInfo rxInfo
    update device_info deviceInfo schema _meta meta metadata systemProperties SystemProperties context old_state
    before old previous locations kafka header headers sys
""")
)
"""Names of objects that describe a message, whose numbers measure nothing."""
PAYLOADS_SURE = tuple(
    _items("""
    decoded_payload decoded after body Body k reported new_state payload_fields object kline candle
""")
)
"""Names of objects that hold what a message measures, whatever else it has."""
PAYLOADS = (
    *PAYLOADS_SURE,
    *_items("""
        payload data fields values measurements measures telemetry readings metrics params sensors
        state result
        message content d properties reading measurement status msg value
    """),
)
"""Names of objects that usually hold what a message measures."""
LISTS = (
    *PAYLOADS,
    *_items("""
        samples records items events points datapoints data_points observations results entries rows
        series batch
        messages devices list history e klines trades ticks candles tickers modules nodes channels
        registers tags
        variables
        partitions aircraft entity entities features vehicles stations meters assets
    """),
)
"""Names of lists whose elements are usually one observation each."""
STATES = frozenset(
    _items("""
    action color colour currency event level message mode msg op operation quality reason result severity
    state status
    trend unit units
""")
)
"""Words of names whose texts say how something is, not what it is."""
TAGS = ("tags", "labels", "dimensions", "dims", "attributes", "tagset")
"""Names of objects of texts that together name a series."""
VALUES = tuple(
    _items("""
    _value value val v reading measured_value metric_value sensor_value measurement_value data_value metricvalue
    sensorvalue measurementvalue tag_value tagvalue raw_value numeric_value value_num valeur wert valor
    obs_value scaled_value double_value
""")
)
"""Names of the value in long format."""
NAMES = tuple(
    _items("""
    _field metric metric_name metricname parameter param parameter_name variable measurement measurement_name
    measurand
    measure quantity signal signal_name pollutant indicator field field_name attribute property channel
    sensor_type sensortype measurement_type value_type valuetype tag tag_name tagname observed_property
    observedproperty
    kpi counter data_type type kind name sensor sensor_name label key item code series
""")
)
"""Names of the member that names the value in long format, the surest first."""
SURE_NAMES = NAMES[: NAMES.index("data_type")]
FINAL_FLAGS = tuple(
    _items("""
    x final is_final isfinal closed is_closed isclosed confirm confirmed complete completed finished
    is_complete
    done
""")
)
"""Names of the flag that the last update of a candle has set."""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, from camelCase, snake_case and the like."""
    return [part.lower() for part in _PARTS.findall(name)]


def joined(name: str) -> str:
    """Return a name in lower case without separators."""
    return "".join(words_of(name))


def last_step(path: str) -> str:
    """Return the last name of a path."""
    text = path.rstrip("\"]'")
    for mark in ('"', "'"):
        if mark in text and path != text:
            return text.rpartition(mark)[2]
    return text.rpartition(".")[2]


_OBIS_TIME = re.compile(r"(?:\d-\d:)?0?1\.0\.0(?:\*255)?|0-0:1\.0\.0(?:\.255)?")
_OBIS_ID = re.compile(r"(?:\d-\d:)?(?:96\.1\.\d{1,3}|0\.0\.0|42\.0\.0)(?:[.*]255)?")
"""Names of a smart meter's clock and of its own identification, by the codes of OBIS."""
_EXCHANGE_TIMES = {"E": 45, "T": 90}
"""Members of the messages of exchanges: when a message was sent, and when there was a trade."""


def time_score(path: str) -> int:
    """Return how likely a path is that of the event time, by its name: 0 to 100."""
    name = last_step(path)
    if name in _EXCHANGE_TIMES:
        return _EXCHANGE_TIMES[name]
    if _OBIS_TIME.fullmatch(name):
        return 100
    words = set(words_of(name))
    if words & _NO_EVENT:
        return 0
    score = TIMES.get(joined(name), 0)
    if not score and words & TIME_WORDS:
        score = 60
    if not _PREDICTED.isdisjoint([*words, *path.lower().split(".")[:-1]]):
        score = min(score, 45)
    return (
        min(score, 20) if is_described(path) and joined(name) not in ("enqueuedtime", "iothubenqueuedtime") else score
    )


def key_score(path: str) -> int:
    """Return how likely a path is that of the key, by its name: 0 to 100."""
    name = last_step(path)
    score = 100 if _OBIS_ID.fullmatch(name) else KEYS.get(joined(name), 0)
    parents = path.split(".")[:-1]
    if any(part in ("event", "metricset", "service", "ecs", "beat") for part in parents):
        return min(score, 20)  # of Elastic's common schema: what has measured, not where
    if score == KEYS["id"] and name.lower() in ("id", "name") and parents and key_score(parents[-1]) == 100:
        return 100  # device.id
    words = words_of(name)
    if "".join(words).endswith("ssid"):  # of a wireless network
        return 0
    if not score and len(words) > 1:
        if words[-1] in ("id", "name", "code", "key"):
            return 95 if key_score(words[0]) == 100 else _SOME_ID * (words[-1] == "id")
        if words[-1] in ("host", "device", "sensor", "meter", "station", "node", "mac", "serial", "eui"):
            return 90
    return score


_SOME_ID = 62
"""Score of an identifier of something that is not known."""
_DURATIONS = frozenset(
    _items("""
    airtime duration elapsed interval period resolution timeframe timeout ttl window
""")
)


def is_duration(path: str) -> bool:
    """Return whether a name is that of a duration, whose text has a unit but is no measured value."""
    last = last_step(path)
    return last == "i" or bool(_DURATIONS.intersection(words_of(last)))


def is_identifier(name: str) -> bool:
    """Return whether a name is that of numbers that measure nothing, such as ids, sequence numbers and coordinates."""
    last = last_step(name)
    if last.lower() in _ID_NAMES or _OBIS_ID.fullmatch(last):
        return True
    words = words_of(last)
    if len(words) == 2 and words[1] in ("index", "no", "nr", "num", "number") and KEYS.get(words[0]) == 100:
        return True  # sensor_index
    return bool(_IDS.intersection(words)) or last.lower() in ("fcnt", "fport")


def is_day_number(path: str, numbers: Sequence[float]) -> bool:
    """Return whether numbers are days since 1900, as spreadsheets count them, or since 1970, by their name."""
    dated = "date" in words_of(last_step(path)) or last_step(path).lower() in ("day", "days")
    return dated and bool(numbers) and all(14_000 < each < 73_000 for each in numbers)


def is_described(path: str) -> bool:
    """Return whether a path leads into an object that describes a message."""
    return any(part in ENVELOPES for part in path.split(".")[:-1])
