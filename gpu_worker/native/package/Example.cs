// Predict one image from C#, on Linux: libCsotArtifact.so must lie beside the program or on LD_LIBRARY_PATH.
//
//   mcs Example.cs && LD_LIBRARY_PATH=. mono Example.exe FOLDER WIDTH HEIGHT image.rgb     # or as a program of .NET
//
// FOLDER holds models.xbin and config.yaml; image.rgb holds WIDTH * HEIGHT pixels of three bytes (red, green, blue).

using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;

class CsotError : Exception
{
    public readonly int Status;

    public CsotError(int status, string message) : base(message) { Status = status; }
}

static class Csot
{
    public const int Ok = 0, WrongSize = 9, Rgb8 = 1, Abi = 2;
    const int CodeSize = 256;
    const string Library = "libCsotArtifact.so";

    [StructLayout(LayoutKind.Sequential)]
    public struct Image
    {
        public IntPtr Data;
        public int Width, Height, Stride, Format;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Result
    {
        public uint StructSize;
        public int ClassId;
        public float Confidence;
        public int Accepted;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = CodeSize)] public byte[] Code;
        public float DefectArea;
        public float TimeMs;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Info
    {
        public uint StructSize;
        public int NumClasses, InputWidth, InputHeight, HasSegmentation, MaxBatch, ExpectWidth, ExpectHeight, NumCodes;
        public int SegmentationWidth, SegmentationHeight;
    }

    [DllImport(Library)] static extern int csot_create(byte[] modelsXbin, byte[] configYaml, out IntPtr model);
    [DllImport(Library)] static extern int csot_describe(IntPtr model, ref Info info);
    [DllImport(Library)] static extern int csot_predict(IntPtr model, ref Image image, ref Result result, float[] probs, byte[] mask);
    [DllImport(Library)] public static extern int csot_abi_version();
    [DllImport(Library)] static extern IntPtr csot_last_error();
    [DllImport(Library)] public static extern void csot_destroy(IntPtr model);

    public static IntPtr Create(string modelsXbin, string configYaml)
    {
        Check(csot_create(Utf8(modelsXbin), Utf8(configYaml), out IntPtr model));
        return model;
    }

    public static Info Describe(IntPtr model)
    {
        var info = new Info { StructSize = (uint)Marshal.SizeOf(typeof(Info)) };
        Check(csot_describe(model, ref info));
        return info;
    }

    public static Result Predict(IntPtr model, byte[] pixels, int width, int height, float[] probabilities, byte[] mask)
    {
        // Pinned, because the library reads the very bytes: the garbage collector must not move them meanwhile.
        GCHandle pinned = GCHandle.Alloc(pixels, GCHandleType.Pinned);
        try
        {
            var image = new Image
            {
                Data = pinned.AddrOfPinnedObject(), Width = width, Height = height, Stride = 3 * width, Format = Rgb8,
            };
            var result = new Result { StructSize = (uint)Marshal.SizeOf(typeof(Result)), Code = new byte[CodeSize] };
            Check(csot_predict(model, ref image, ref result, probabilities, mask));
            return result;
        }
        finally
        {
            pinned.Free();
        }
    }

    public static string Text(byte[] utf8)
    {
        int end = Array.IndexOf(utf8, (byte)0);
        return Encoding.UTF8.GetString(utf8, 0, end < 0 ? utf8.Length : end);
    }

    static byte[] Utf8(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }

    static void Check(int status)
    {
        if (status == Ok) return;
        IntPtr error = csot_last_error();
        var text = new byte[512];
        for (int i = 0; i < text.Length - 1 && (text[i] = Marshal.ReadByte(error, i)) != 0; i++) { }
        throw new CsotError(status, Text(text));
    }
}

static class Example
{
    static int Main(string[] arguments)
    {
        if (arguments.Length < 4)
        {
            Console.Error.WriteLine("usage: Example FOLDER WIDTH HEIGHT image.rgb");
            return 2;
        }
        if (Csot.csot_abi_version() != Csot.Abi)
        {
            Console.Error.WriteLine("this program and the library do not belong together");
            return 2;
        }
        string folder = arguments[0];
        int width = int.Parse(arguments[1]), height = int.Parse(arguments[2]);
        byte[] pixels = File.ReadAllBytes(arguments[3]);
        if (pixels.Length < 3 * width * height)
        {
            Console.Error.WriteLine("the image is too short");
            return 1;
        }
        try
        {
            return Predict(folder, pixels, width, height);
        }
        catch (CsotError error)
        {
            Console.Error.WriteLine(error.Status == Csot.WrongSize ? "does not comply: " + error.Message : error.Message);
            return error.Status == Csot.WrongSize ? 3 : 1;
        }
    }

    static int Predict(string folder, byte[] pixels, int width, int height)
    {
        IntPtr model = Csot.Create(Path.Combine(folder, "models.xbin"), Path.Combine(folder, "config.yaml"));
        try
        {
            var probabilities = new float[Csot.Describe(model).NumClasses];
            Csot.Result result = Csot.Predict(model, pixels, width, height, probabilities, new byte[width * height]);
            Console.WriteLine("code {0}, confidence {1:F6}, {2:F1} ms", Csot.Text(result.Code), result.Confidence, result.TimeMs);
            return 0;
        }
        finally
        {
            Csot.csot_destroy(model);
        }
    }
}
